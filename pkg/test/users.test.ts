// 10,000 interleaved requests of 100 users in one isolate, bit for bit as each user's alone: in Node, and in workerd by HTTP.
// RANKLET_FULL=1 is all of them, otherwise a tenth.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Miniflare } from "miniflare";
import { createReranker, type Reranker } from "ranklet";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answer, type Answer } from "./failures/edge.js";
import { bundled, isFull } from "./failures/script.js";
import { bundle, dist, request, wasm, type Candidate } from "./fixtures.js";

const USERS = 100;
const STEPS = isFull ? 100 : 10;
const asked = request();
const tick = () => new Promise((done) => setTimeout(done, 0));
const module = WebAssembly.compile(wasm());

/** What each user's requests answer, by user; `one` asks one of them. */
async function users(all: boolean, one: (user: number, step: number, snapshot: string | null) => Promise<Answer>): Promise<string[][]> {
  const run = async (user: number) => {
    const texts: string[] = [];
    let snapshot: string | null = null;
    for (let step = 0; step < STEPS; step++) {
      const given = await one(user, step, snapshot);
      snapshot = given.snapshot;
      texts.push(`${given.text} ${snapshot}`);
    }
    return texts;
  };
  const numbers = Array.from({ length: USERS }, (_, user) => user);
  if (all) return Promise.all(numbers.map(run));
  const texts = [];
  for (const user of numbers) texts.push(await run(user));
  return texts;
}

const open = async (): Promise<Reranker<Candidate>> => {
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: module, clock: () => asked.now + 1e9 });
  await reranker.ready;
  return reranker;
};

let separate: string[][];

beforeAll(async () => {
  let reranker: Reranker<Candidate> | undefined;
  // Each user has an engine of its own, and nobody else is there.
  separate = await users(false, async (user, step, snapshot) => {
    if (step === 0) {
      reranker?.dispose();
      reranker = await open();
    }
    return answer(reranker!, asked, user, step, snapshot, async () => undefined);
  });
}, 120_000);

test(`Node: ${USERS * STEPS} requests of ${USERS} users, interleaved`, async () => {
  // The users differ, or nothing would be shown.
  expect(new Set(separate.flat()).size).toBeGreaterThan(0.9 * USERS * STEPS);
  const reranker = await open();
  let [running, most] = [0, 0];
  const interleaved = await users(true, async (user, step, snapshot) => {
    most = Math.max(most, ++running);
    // Not in the order in which they came.
    const pause = async () => {
      for (let turns = (user * 31 + step * 17) % 3; turns > 0; turns--) await tick();
    };
    const given = await answer(reranker, asked, user, step, snapshot, pause);
    running -= 1;
    return given;
  });
  expect(most).toBe(USERS);
  expect(interleaved).toEqual(separate);
  reranker.dispose();
}, 120_000);

const { Miniflare: Workerd } = await import("miniflare").catch(() => ({ Miniflare: undefined }));

describe.skipIf(!Workerd)("workerd", () => {
  let worker: Miniflare;
  let url: URL;

  beforeAll(async () => {
    const made = await bundled(`export { answer } from "./edge.js";`);
    const main = `
      import { createReranker } from "./workerd.js";
      import { answer } from "./script.mjs";
      import bytes from "./bundle.bin";
      const asked = ${JSON.stringify(asked)};
      let reranker, running = 0, most = 0;
      export default {
        async fetch(request) {
          const { user, step, snapshot } = await request.json();
          if (!reranker) {
            reranker = createReranker({ bundle: bytes, clock: () => asked.now + 1e9 });
            await reranker.ready;
          }
          if (user < 0) return Response.json({ most });
          most = Math.max(most, ++running);
          const pause = () => new Promise((next) => setTimeout(next, (user * 31 + step * 17) % 3));
          try {
            return Response.json(await answer(reranker, asked, user, step, snapshot, pause));
          } finally {
            running -= 1;
          }
        },
      };`;
    worker = new Workerd!({
      compatibilityDate: "2026-01-01",
      modules: [
        { type: "ESModule", path: "main.mjs", contents: main },
        { type: "ESModule", path: "workerd.js", contents: readFileSync(join(dist, "workerd.js"), "utf8") },
        { type: "ESModule", path: "script.mjs", contents: readFileSync(made.script, "utf8") },
        { type: "CompiledWasm", path: "ranklet.wasm", contents: readFileSync(join(dist, "ranklet.wasm")) },
        { type: "Data", path: "bundle.bin", contents: bundle() },
      ],
    });
    made.remove();
    url = await worker.ready;
  });

  afterAll(() => worker?.dispose());

  test(`${USERS * STEPS} requests of ${USERS} users, interleaved: the bits of Node`, async () => {
    const ask = async (user: number, step: number, snapshot: string | null) => {
      const response = await fetch(url, { method: "POST", body: JSON.stringify({ user, step, snapshot }) });
      const text = await response.text();
      if (!response.ok) throw new Error(text);
      return JSON.parse(text) as Answer & { most: number };
    };
    await ask(-1, 0, null);
    const interleaved = await users(true, ask);
    // They did run at the same time, in one isolate.
    expect((await ask(-1, 0, null)).most).toBeGreaterThan(10);
    expect(interleaved).toEqual(separate);
  }, 300_000);
});

// The examples, each in its real runtime: workerd, Node, Deno.
import { spawn, type ChildProcess } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { createReranker } from "ranklet";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bundle, bundlePath, dist, events, request, root, type Candidate } from "./fixtures.js";
import { serve, type Served } from "./server.js";

const asked = request("02");
const serverIds = asked.candidates.map(({ id }) => id);
const pkg = join(root, "pkg");
const FULL = process.env.RANKLET_FULL === "1";

interface Answer { candidates: Candidate[] }
const ids = ({ candidates }: Answer) => candidates.map(({ id }) => id);

/** The order of the same request, with the same events, in this process. */
async function expected(of: typeof asked, known: readonly object[], rows?: number): Promise<string[]> {
  const reranker = createReranker<Candidate>({ bundle: bundle(), clock: () => of.now });
  await reranker.ready;
  const session = reranker.session();
  session.merge(known as never);
  const order = session.prepare(of).rerank({ now: of.now, ...(rows !== undefined && { rows }) }).items.map(({ id }) => id);
  reranker.dispose();
  return order;
}

describe("workerd", () => {
  let code: string;
  const running: Miniflare[] = [];

  beforeAll(async () => {
    const { outputFiles } = await build({
      entryPoints: [join(pkg, "examples/edge-worker/worker.js")],
      bundle: true, format: "esm", write: false, conditions: ["workerd"], external: ["./ranklet.wasm"], absWorkingDir: pkg,
    });
    code = outputFiles[0]!.text;
  });

  afterEach(async () => {
    await Promise.all(running.splice(0).map((one) => one.dispose()));
  });

  /** The example, as it is deployed: its script and the compiled runtime as modules. `before` runs first. */
  async function start({ model = bundle() as Uint8Array | null, before = "", rows = "200", origin = asked as object | string } = {}): Promise<Miniflare> {
    const runtime = readFileSync(join(dist, "ranklet.wasm"));
    const edge = {
      name: "edge",
      modules: [
        { type: "ESModule" as const, path: "main.js", contents: `import "./before.js"; export { default } from "./worker.js";` },
        { type: "ESModule" as const, path: "before.js", contents: before },
        { type: "ESModule" as const, path: "worker.js", contents: code },
        { type: "CompiledWasm" as const, path: "ranklet.wasm", contents: runtime },
      ],
      compatibilityDate: "2026-04-01",
      kvNamespaces: ["MODELS", "SESSIONS"],
      bindings: { ROWS: rows },
      serviceBindings: { ORIGIN: "origin" },
    };
    const answer = `export default { fetch: () => Response.json(${JSON.stringify(origin)}) };`;
    const mf = new Miniflare({ workers: [edge, { name: "origin", modules: true, script: answer, compatibilityDate: "2026-04-01" }] });
    running.push(mf);
    if (model) await store(mf, "MODELS", "ads-recs.ranklet", model.slice().buffer as ArrayBuffer);
    return mf;
  }

  async function store(mf: Miniflare, name: string, key: string, value: string | ArrayBuffer): Promise<void> {
    const kv = (await mf.getKVNamespace(name)) as unknown as { put(key: string, value: string | ArrayBuffer): Promise<void> };
    await kv.put(key, value);
  }

  /** A clock that never advances, as a worker's in production while it runs. */
  const STILL = `Date.now = () => ${asked.now}; performance.now = () => 0;`;

  async function ask(mf: Miniflare, key?: string) {
    const response = await mf.dispatchFetch("http://edge/recommendations", key ? { headers: { "x-session": key } } : {});
    const header = (name: string) => response.headers.get(`x-ranklet-${name}`);
    return { source: header("source"), reason: header("reason"), degraded: header("degraded"), ids: ids((await response.json()) as Answer) };
  }

  test("the model's order of this user, from a snapshot; the same as in Node", async () => {
    const mf = await start({ before: STILL });
    expect(await ask(mf)).toEqual({ source: "model", reason: null, degraded: null, ids: await expected(asked, []) });
    const known = events("02");
    expect(known.length).toBeGreaterThan(3);
    const response = await mf.dispatchFetch("http://edge/events", { method: "POST", headers: { "x-session": "a" }, body: JSON.stringify(known) });
    expect(await response.json()).toEqual({ accepted: known.length, refused: 0 });
    const order = await expected(asked, known);
    expect((await ask(mf, "a")).ids).toEqual(order);
    // Another user knows nothing of it.
    expect((await ask(mf, "b")).ids).toEqual(await expected(asked, []));
    expect(order).not.toEqual(await expected(asked, []));
  });

  test("under a clock that never advances the work budget is the deadline", async () => {
    const mf = await start({ before: STILL, rows: "10" });
    const found = await ask(mf);
    expect(found).toEqual({ source: "model", reason: null, degraded: "1", ids: await expected(asked, [], 10) });
    expect(found.ids.slice(10)).toEqual(serverIds.slice(10));
  });

  test("no model, a broken one, a request that is none: the origin's order, and the reason in a header", async () => {
    expect(await ask(await start({ model: null }))).toEqual({ source: "server", reason: "bundle_fetch_failed", degraded: null, ids: serverIds });
    const broken = bundle();
    broken[broken.length >> 1]! ^= 1;
    expect(await ask(await start({ model: broken }))).toEqual({ source: "server", reason: "bundle_corrupt", degraded: null, ids: serverIds });
    const twice = { ...asked, candidates: [...asked.candidates, asked.candidates[0]!] };
    const found = await ask(await start({ origin: twice }));
    expect(found).toMatchObject({ source: "server", reason: "request_invalid", ids: twice.candidates.map(({ id }) => id) });
  });

  test("a snapshot that is none costs the context, an answer that is no list goes through as it came", async () => {
    const mf = await start({ before: STILL });
    await store(mf, "SESSIONS", "a", "{ no snapshot");
    expect(await ask(mf, "a")).toMatchObject({ source: "model", ids: await expected(asked, []) });
    const text = await (await start({ origin: "busy" })).dispatchFetch("http://edge/recommendations");
    expect([text.status, await text.text()]).toEqual([200, '"busy"']);
  });

  const REQUESTS = FULL ? 10_000 : 100;
  test(`${REQUESTS} requests of 100 users at once: each as if it were alone`, async () => {
    const mf = await start({ before: STILL });
    const pool = events("02");
    const users = Array.from({ length: 100 }, (_, user) => pool.filter((_, at) => (at * 7 + user) % 5 < 2 + (user % 3)));
    await Promise.all(users.map((known, user) =>
      mf.dispatchFetch("http://edge/events", { method: "POST", headers: { "x-session": `u${user}` }, body: JSON.stringify(known) }).then((one) => one.text())));
    const orders = await Promise.all(users.map((known) => expected(asked, known)));
    expect(new Set(orders.map(String)).size).toBeGreaterThan(1);
    for (let done = 0; done < REQUESTS; done += 100) {
      const found = await Promise.all(users.map((_, user) => ask(mf, `u${(user * 37 + done) % 100}`)));
      found.forEach(({ source, ids }, user) => {
        expect(source).toBe("model");
        expect(ids).toEqual(orders[(user * 37 + done) % 100]);
      });
    }
  }, FULL ? 600_000 : 60_000);
});

describe("servers", () => {
  let origin: Served;
  let project: string;
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    origin = await serve((_, response) => response.setHeader("content-type", "application/json").end(JSON.stringify(asked)));
    // As it is installed: the package in a project's node_modules.
    project = mkdtempSync(join(tmpdir(), "ranklet-edge-"));
    mkdirSync(join(project, "node_modules/ranklet"), { recursive: true });
    cpSync(join(pkg, "package.json"), join(project, "node_modules/ranklet/package.json"));
    symlinkSync(dist, join(project, "node_modules/ranklet/dist"));
    cpSync(join(pkg, "examples"), project, { recursive: true });
  });

  afterAll(async () => {
    for (const child of children) child.kill();
    await origin?.close();
    if (project) rmSync(project, { recursive: true });
  });

  /** Starts a server and gives its address, which it prints first. */
  async function start(program: string, args: string[]): Promise<string> {
    const child = spawn(program, [...args, bundlePath, origin.url("/"), "0"], { cwd: project, stdio: ["ignore", "pipe", "pipe"] });
    children.push(child);
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => (said += chunk));
    return new Promise((resolve, reject) => {
      child.stdout.once("data", (chunk: Buffer) => resolve(String(chunk).trim()));
      child.once("exit", () => reject(new Error(`${program} ended: ${said}`)));
    });
  }

  test.each([
    ["Node", process.execPath, ["node-http/server.mjs"]],
    ["Deno", join(pkg, "node_modules/.bin/deno"), ["run", "--quiet", "--node-modules-dir=manual", "--allow-net", "--allow-read", "--allow-env", "deno/server.ts"]],
  ])("%s: the model's order, and another one after what the user did", async (_, program, args) => {
    const url = await start(program, args);
    const ask = async () => {
      const response = await fetch(`${url}/recommendations`, { headers: { "x-session": "a" } });
      return { source: response.headers.get("x-ranklet-source"), ids: ids((await response.json()) as Answer) };
    };
    let found = await ask();
    for (let at = 0; found.source !== "model" && at < 100; at++) {
      // Until it has loaded it answers in the origin's order.
      expect(found.ids).toEqual(serverIds);
      await new Promise((next) => setTimeout(next, 50));
      found = await ask();
    }
    expect(found.source).toBe("model");
    expect([...found.ids].sort()).toEqual([...serverIds].sort());
    const now = Date.now();
    const dismissals = found.ids.slice(0, 6).map((candidate, at) => ({ type: "dismiss", key: asked.candidates.find(({ id }) => id === candidate)!.key, time: now - at }));
    const sent = await fetch(`${url}/events`, { method: "POST", headers: { "x-session": "a" }, body: JSON.stringify(dismissals) });
    expect(await sent.json()).toEqual({ accepted: 6, refused: 0 });
    expect((await ask()).ids).not.toEqual(found.ids);
  });
});

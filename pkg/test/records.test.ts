// Records: the same bytes natively, in Node and in Chromium, replayed without a differing bit, and held to their schema.
import { Ajv2020 } from "ajv/dist/2020.js";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { createReranker, type Consent } from "ranklet";
import { readDecision, readRecords, type AnyRecord, type DecisionRecord } from "ranklet/records";
import { afterAll, beforeAll, expect, test } from "vitest";
import { executablePath, launch, load, open, site } from "./chromium.js";
import { binary, bundle, bundlePath, edited, lines, request, root, type Event, type Request } from "./fixtures.js";
import { generate } from "./generate.js";
import { recordAll } from "./record-all.js";

/** 10,000 for the figure of the docs. */
const REQUESTS = Number(process.env.RANKLET_RECORDS ?? 1000);
const folder = mkdtempSync(join(tmpdir(), "ranklet-records-"));
const path = (name: string) => join(folder, name);
const valid = new Ajv2020({ allErrors: true, strict: false }).compile(JSON.parse(readFileSync(join(root, "pkg/schema/record.json"), "utf8")) as object);
let requests: Request[];
let log: Event[];

beforeAll(() => {
  ({ requests, events: log } = generate(REQUESTS));
  writeFileSync(path("requests.jsonl"), requests.map((one) => JSON.stringify(one)).join("\n"));
  writeFileSync(path("events.jsonl"), log.map((one) => JSON.stringify(one)).join("\n"));
  [requests, log] = JSON.parse(JSON.stringify([requests, log])) as [Request[], Event[]];
  for (const level of ["aggregate", "full"]) {
    const json = execFileSync(
      binary,
      ["rerank", bundlePath, "--request", path("requests.jsonl"), "--events", path("events.jsonl"), "--json", "--level", level, "--records", path(`${level}.bin`)],
      { encoding: "utf8", maxBuffer: 2 ** 31 - 1, stdio: ["ignore", "pipe", "pipe"] },
    );
    writeFileSync(path(`${level}.jsonl`), json);
  }
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function replay(log: string, ...more: string[]): { code: number | null; out: string; last: string } {
  const { status, stdout, stderr } = spawnSync(binary, ["replay", bundlePath, "--log", log, ...more], { encoding: "utf8" });
  return { code: status, out: stdout, last: stderr.trimEnd().split("\n").at(-1) ?? "" };
}

function expectSame(name: string, from: string): void {
  const replayed = replay(path(name));
  expect(replayed).toMatchObject({ code: 0, last: "" });
  expect(replayed.out).toMatch(/^differing +0 bits in 0 decisions$/m);
  const [, decisions] = /^decisions +(\d+)$/m.exec(replayed.out)!;
  expect(Number(decisions)).toBe(REQUESTS);
  const [, values] = /^compared +(\d+) values$/m.exec(replayed.out)!;
  console.info(`${from}: ${decisions} decisions replayed, ${values} values compared, 0 bits differ`);
}

test.each(["aggregate", "full"] as const)("Node's records of level %s are the native ones, byte for byte", async (level) => {
  const told = Buffer.from(await recordAll(createReranker, bundle(), requests, log, level), "base64");
  expect(told.equals(readFileSync(path(`${level}.bin`)))).toBe(true);
  writeFileSync(path(`node-${level}.bin`), told);
  expectSame(`node-${level}.bin`, `Node, ${level}`);
}, 300_000);

test("the native ones replay from both forms", () => {
  for (const name of ["aggregate.bin", "aggregate.jsonl", "full.bin", "full.jsonl"]) expectSame(name, `native, ${name}`);
}, 300_000);

test.skipIf(executablePath === undefined)("Chromium's too", async () => {
  const host = await site();
  const browser = await launch();
  try {
    host.files.set("/requests.jsonl", readFileSync(path("requests.jsonl")));
    host.files.set("/events.jsonl", readFileSync(path("events.jsonl")));
    const { page, noise } = await open(browser, host);
    await load(page);
    const told = await page.evaluate(async (source) => {
      const read = async (name: string) => (await (await fetch(name)).text()).split("\n").map((line) => JSON.parse(line) as never);
      const run = new Function(`return ${source}`)() as typeof recordAll;
      return run(ranklet.createReranker, "/ads-recs.ranklet", await read("/requests.jsonl"), await read("/events.jsonl"), "full");
    }, recordAll.toString());
    expect(Buffer.from(told, "base64").equals(readFileSync(path("full.bin")))).toBe(true);
    writeFileSync(path("chromium.bin"), Buffer.from(told, "base64"));
    expectSame("chromium.bin", "Chromium, full");
    expect(noise).toEqual([]);
  } finally {
    await browser.close();
    await host.close();
  }
}, 300_000);

test.each(["aggregate", "full"] as const)("level %s: read in JavaScript it is what is printed natively, and fits the schema", (level) => {
  const native = lines<AnyRecord>(readFileSync(path(`${level}.jsonl`), "utf8")).slice(0, 300);
  const read = readRecords(readFileSync(path(`${level}.bin`)));
  expect(read.length).toBe(REQUESTS);
  native.forEach((record, at) => {
    expect(read[at]).toEqual(record);
    if (!valid(record)) throw new Error(JSON.stringify(valid.errors?.slice(0, 3)));
  });
  expect(valid({ ...native[0], extra: 1 })).toBe(false);
  expect(valid({ ...native[0], now: level === "full" ? undefined : 1 })).toBe(false);
});

test("what a decision of 12 candidates weighs, by level", () => {
  const sizes = (["aggregate", "full"] as const).map((level) => {
    const json = lines<DecisionRecord>(readFileSync(path(`${level}.jsonl`), "utf8")).map((one) => JSON.stringify(one));
    const items = json.reduce((sum, one) => sum + (JSON.parse(one) as DecisionRecord).items.length, 0);
    const gzip = json.reduce((sum, one) => sum + gzipSync(one).length, 0);
    const each = (bytes: number) => Math.round((12 * bytes) / items);
    return { level, json: each(json.join("").length), gzip: each(gzip), compact: each(readFileSync(path(`${level}.bin`)).length) };
  });
  console.table(sizes);
  // Budgets, bytes: a tenth above what they are; to change them is a decision.
  const [aggregate, full] = sizes as [(typeof sizes)[0], (typeof sizes)[0]];
  expect(aggregate.json).toBeLessThan(4_700);
  expect(aggregate.gzip).toBeLessThan(1_250);
  expect(aggregate.compact).toBeLessThan(1_060);
  expect(full.json).toBeLessThan(11_700);
  expect(full.gzip).toBeLessThan(2_100);
  expect(full.compact).toBeLessThan(2_050);
});

/** Told by a reranker with the model, ranking the recorded request. */
async function listen(consent: Consent | (() => Consent) | undefined, act: (told: Uint8Array[]) => void = () => undefined) {
  const told: Uint8Array[] = [];
  const asked = request();
  let now = asked.now;
  const reranker = createReranker({
    bundle: bundle(), clock: () => now,
    ...(consent !== undefined && { consent }),
    onRecord: (record) => {
      told.push(record);
      act(told);
    },
  });
  await reranker.ready;
  const session = reranker.session();
  const list = session.prepare(asked);
  return { told, reranker, session, list, asked, later: (ms: number) => (now += ms) };
}

test("exposures and outcomes join the decision that placed the item", async () => {
  const { told, session, list, asked, later } = await listen("full");
  const first = list.rerank();
  const { id, key } = first.entries[1]!;
  later(4000);
  session.observe({ type: "impression", candidate: id, value: 1500 });
  session.observe({ type: "dismiss", key, reason: "a word that is not recorded" });
  first.exposed(id, 2500);
  const second = list.rerank();
  later(2 * 86_400_000);
  session.observe({ type: "accept", candidate: id });
  session.observe({ type: "search", value: "what was typed" });
  const records = told.flatMap(readRecords);
  const decision_id = asked.decision_id as string;
  expect(records.map((record) => record.kind)).toEqual(["decision", "exposure", "outcome", "exposure", "decision", "outcome"]);
  expect(records[1]).toEqual({ kind: "exposure", decision_id, key, position: 2, visible_ms: 1500 });
  expect(records[2]).toEqual({ kind: "outcome", decision_id, key, type: "dismiss", delay: "10s" });
  expect(records[3]).toEqual({ kind: "exposure", decision_id, key, position: 2, visible_ms: 2500 });
  expect(records[4]!.decision_id).toBe(`${decision_id}#2`);
  expect(records[5]).toEqual({ kind: "outcome", decision_id: `${decision_id}#2`, key, type: "accept", delay: "later" });
  expect(readDecision(second.record()!)).toEqual(records[4]);
  expect(() => readDecision(told[1]!)).toThrowError(expect.objectContaining({ code: "request_invalid" }));
  for (const record of records) if (!valid(record)) throw new Error(JSON.stringify(valid.errors?.slice(0, 3)));
  expect(JSON.stringify(records)).not.toMatch(/typed|a word/);
  writeFileSync(path("mixed.bin"), Buffer.concat(told));
  const replayed = replay(path("mixed.bin"));
  expect(replayed).toMatchObject({ code: 0, last: "" });
  expect(replayed.out).toContain("skipped     4 (2 exposures, 2 outcomes)");
});

test("no consent, no record; the caller's word may change", async () => {
  for (const consent of [undefined, "none", (() => { throw new Error("no banner"); }) as () => Consent] as const) {
    const { told, list, session } = await listen(consent);
    const ranking = list.rerank();
    session.observe({ type: "open", candidate: ranking.entries[0]!.id });
    expect(told).toEqual([]);
    expect(ranking.record() === null).toBe(consent !== undefined);
  }
  let consent: Consent = "none";
  const { told, list } = await listen(() => consent);
  list.rerank();
  consent = "aggregate";
  const ranking = list.rerank();
  expect(told.length).toBe(1);
  const record = readDecision(told[0]!);
  expect(record).toMatchObject({ level: "aggregate", source: "model" });
  expect("now" in record || record.items.some((item) => "features" in item)).toBe(false);
  expect(readDecision(ranking.record()!)).toEqual(record);
});

test("a listener that throws, or ranks, hurts nobody", async () => {
  const { told, list, session } = await listen("full", () => {
    throw new Error("the listener's own");
  });
  const ranking = list.rerank();
  expect(ranking.source).toBe("model");
  expect(session.observe({ type: "open", candidate: ranking.entries[0]!.id })).toMatchObject({ accepted: true });
  expect(told.length).toBe(2);
});

test("server order is recorded too, with and without an engine; 64-bit ids and odd names stand", async () => {
  const told: Uint8Array[] = [];
  const reranker = createReranker<{ id: bigint | string }>({ bundle: new Uint8Array(3), consent: "full", onRecord: (record) => void told.push(record) });
  const session = reranker.session();
  const list = session.prepare({ candidates: [{ id: 2n ** 63n + 1n }, { id: "__proto__" }, { id: "ä𝄞" }], decision_id: "d", now: 5 });
  session.observe({ type: "dismiss", candidate: "ä𝄞", time: 1 });
  list.rerank({ now: 5, frozen: 1 });
  await reranker.ready;
  list.rerank({ now: 6 });
  session.prepare({ candidates: [] }).rerank({ now: 7 });
  const [loading, corrupt, empty] = told.map(readDecision);
  expect(loading).toMatchObject({ source: "server", reason: "loading", digests: null, numerics: null, now: 5 });
  expect(loading!.items.map(({ id, suppressed, constraints }) => [id, suppressed, constraints])).toEqual([
    ["9223372036854775809", null, ["frozen"]], ["__proto__", null, []], ["ä𝄞", "dismissed", ["suppressed"]],
  ]);
  expect(corrupt!.reason).toBe("bundle_corrupt");
  expect(empty!.items).toEqual([]);
  for (const record of told.map(readDecision)) if (!valid(record)) throw new Error(JSON.stringify(valid.errors?.slice(0, 3)));
  writeFileSync(path("server.jsonl"), told.map((record) => JSON.stringify(readDecision(record))).join("\n"));
  writeFileSync(path("server.bin"), Buffer.concat(told));
  for (const name of ["server.jsonl", "server.bin"]) expect(replay(path(name))).toMatchObject({ code: 0, last: "" });
});

test("5,000 candidates, and a record of another bundle", async () => {
  const { told, session, asked } = await listen("full");
  const candidates = Array.from({ length: 5000 }, (_, row) => ({ ...asked.candidates[row % asked.candidates.length]!, id: `c${row}` }));
  session.prepare({ ...asked, candidates }).rerank();
  session.prepare({ ...asked, candidates: candidates.slice(0, 1) }).rerank();
  writeFileSync(path("many.bin"), Buffer.concat(told));
  expect(replay(path("many.bin"))).toMatchObject({ code: 0, last: "" });
  const other = path("other.ranklet");
  writeFileSync(other, edited(bundle(), (manifest) => (manifest.version += 1)));
  const { status, stderr } = spawnSync(binary, ["replay", other, "--log", path("many.bin")], { encoding: "utf8" });
  expect(status).toBe(1);
  expect(stderr).toMatch(/record 1, .*digests\.bundle: recorded bundle \w{64}, recomputed bundle \w{64} \(replay_differs\)/);
});

test("garbage is refused with a code, whatever it is", () => {
  const whole = readFileSync(path("full.bin")).subarray(0, 3000);
  for (let at = 0; at < 2000; at++) {
    const bytes = new Uint8Array(whole.subarray(0, at % 2 === 0 ? whole.length : 1 + (at % whole.length)));
    bytes[(at * 7919) % bytes.length]! ^= 1 << at % 8;
    try {
      readRecords(bytes);
    } catch (thrown) {
      expect(["RankletError", "TypeError"]).toContain((thrown as Error).name);
    }
  }
});

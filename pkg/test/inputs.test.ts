// A model with several inputs (DIN and two towers): the same bits natively, in Node and in a page, from objects whose lists
// and vectors come in every shape; and what a list keeps between re-ranks changes none of them.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createReranker } from "ranklet";
import { readDecision, readRecords, type DecisionRecord } from "ranklet/records";
import { afterAll, beforeAll, expect, test } from "vitest";
import { executablePath, launch, load, open, site } from "./chromium.js";
import { binary, lines, root, type Event, type Request } from "./fixtures.js";
import { rankAll } from "./rank-all.js";

const folder = mkdtempSync(join(tmpdir(), "ranklet-inputs-"));
const path = join(folder, "towers.ranklet");
const TYPES = ["raise_budget", "add_keywords", "fix_tag", "widen_audience", "add_creative", "unheard_of"];
let state = 7;

/** Marsaglia's xorshift, 32 bits. */
function below(n: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % n;
}

function number(): number {
  return below(4001) / 1000 - 2;
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, number);
}

/** A vector of four numbers, or something that is none. */
function vector(): unknown {
  const wrong = [null, "1234", 4, {}, [], numbers(3), numbers(5), [numbers(4), numbers(3)], [numbers(4), 1], [1, "x", true, null], numbers(8)];
  return below(3) > 0 ? numbers(4) : below(4) > 0 ? wrong[below(wrong.length)] : [numbers(4)];
}

function candidate(row: number): unknown {
  const tags = ["urgent", "cheap", "new", "odd", null, 7];
  const item = [9_007_199_254_740_991 - below(40), `item-${below(40)}`, null, 1.5][below(4)];
  const related = below(4) > 0 ? Array.from({ length: below(3) }, () => `k${below(9)}`) : "k1";
  const features = { vector: vector(), tags: Array.from({ length: below(12) }, () => tags[below(6)]), uplift: [number(), null][below(2)], item, related };
  return { id: `r${row}`, key: `k${row % 9}`, type: TYPES[below(6)], features };
}

function request(at: number): Request {
  const seen = [Array.from({ length: below(7) }, () => below(60)), ["a", null, "b"], "a", null][below(4)];
  const account = { country: ["NL", "DE", "FR"][below(3)], vector: [numbers(2), [numbers(2)], numbers(3), null][below(4)] };
  return {
    decision_id: `d${at}`, session: `s${at}`, surface: "assistant", now: 1_800_000_000_000 + at,
    candidates: Array.from({ length: below(30) + 2 }, (_, row) => candidate(row)),
    facts: { account, performance: { spend: number() * 100 }, workflow: { seen } },
  } as unknown as Request;
}

function event({ session, now, candidates }: Request): Event {
  const type = ["open", "accept", "dwell", "impression", "dismiss"][below(5)]!;
  const made: Event = { type, session, candidate: candidates[below(candidates.length)]!.id, time: now - below(900_000) };
  return type === "dwell" ? { ...made, value: 1500 } : made;
}

let requests: Request[];
let events: Event[];
let native: DecisionRecord[];

beforeAll(() => {
  execFileSync(binary, ["compile", join(root, "tests/fixtures/din_towers.toml"), "-o", path], { stdio: "pipe" });
  requests = Array.from({ length: 300 }, (_, at) => request(at));
  events = requests.flatMap((one) => Array.from({ length: below(8) }, () => event(one)));
  writeFileSync(join(folder, "requests.jsonl"), requests.map((one) => JSON.stringify(one)).join("\n"));
  writeFileSync(join(folder, "events.jsonl"), events.map((one) => JSON.stringify(one)).join("\n"));
  const paths = ["--request", join(folder, "requests.jsonl"), "--events", join(folder, "events.jsonl")];
  native = lines(execFileSync(binary, ["rerank", path, ...paths, "--json"], { encoding: "utf8", maxBuffer: 2 ** 30, stdio: ["ignore", "pipe", "pipe"] }));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What was decided and from what, one text a decision; an f32 is written in several ways. */
function decided(record: DecisionRecord): string {
  const items = record.items.map((item) => {
    const heads = Object.entries(item.heads).map(([name, { raw, calibrated }]) => [name, Math.fround(Number(raw)), calibrated]);
    return [item.id, item.rank, item.score, item.utility, item["features"], heads];
  });
  return JSON.stringify([record.source, record.reason, record.decision_id, record.shared, items]);
}

test("what is compared is worth it", () => {
  expect(native.every(({ source }) => source === "model")).toBe(true);
  const shared = native.map((record) => record.shared);
  expect(new Set(shared).size).toBeGreaterThan(200);
  expect(shared.every((text) => text?.length === 65 * 8)).toBe(true);
  expect(new Set(native.flatMap(({ items }) => items.map(({ score }) => score))).size).toBeGreaterThan(1000);
});

const read = (told: string) => readRecords(Buffer.from(told, "base64")) as DecisionRecord[];

test("Node", async () => {
  const found = await rankAll(createReranker, readFileSync(path), requests, events);
  expect(read(found).map(decided)).toEqual(native.map(decided));
});

test.skipIf(executablePath === undefined)("Chromium", async () => {
  const host = await site();
  const browser = await launch();
  try {
    for (const name of ["requests.jsonl", "events.jsonl", "towers.ranklet"]) host.files.set(`/${name}`, readFileSync(join(folder, name)));
    const { page, noise } = await open(browser, host);
    await load(page);
    const text = await page.evaluate(async (source) => {
      const read = async (name: string) => (await (await fetch(name)).text()).split("\n").map((line) => JSON.parse(line) as never);
      const run = new Function(`return ${source}`)() as typeof rankAll;
      return run(ranklet.createReranker, "/towers.ranklet", await read("/requests.jsonl"), await read("/events.jsonl"));
    }, rankAll.toString());
    expect(read(text).map(decided)).toEqual(native.map(decided));
    expect(noise).toEqual([]);
  } finally {
    await browser.close();
    await host.close();
  }
});

test("typed arrays are lists, ids may be 64-bit, and a list prepared while loading keeps its own copies", async () => {
  const [one] = requests as [Request];
  const plain = {
    ...one,
    candidates: [{ id: "a", features: { vector: [0.5, -1, 2, 1], item: "9007199254740993", tags: ["7"] } }],
    facts: { account: { vector: [1, 2] }, workflow: { seen: ["18446744073709551615", "3"] } },
  };
  const vector = new Float64Array([0.5, -1, 2, 1]);
  const typed = {
    ...one,
    candidates: [{ id: "a", features: { vector, item: 9_007_199_254_740_993n, tags: Uint8Array.of(7) } }],
    facts: { account: { vector: [Float32Array.of(1, 2)] }, workflow: { seen: BigUint64Array.of(18_446_744_073_709_551_615n, 3n) } },
  };
  const reranker = createReranker({ bundle: readFileSync(path) });
  const early = reranker.session({ key: "early" }).prepare(typed as never);
  await reranker.ready;
  vector.fill(9);
  typed.facts.account.vector[0]!.fill(9);
  const row = (list: typeof early) => {
    const record = readDecision(list.rerank({ now: one.now }).record()!);
    return [record.source, record.shared, record.items[0]!["features"]];
  };
  expect(row(early)).toEqual(row(reranker.session({ key: "late" }).prepare(plain as never)));
  expect(row(early)[0]).toBe("model");
  reranker.dispose();
});

test("bad shapes are missing values, never a throw", async () => {
  const reranker = createReranker({ bundle: readFileSync(path) });
  await reranker.ready;
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  const shapes = [cyclic, new DataView(new ArrayBuffer(8)), new Map([[0, 1]]), "abcd", Symbol("x"), () => 1, new Array(1e9), Array.from({ length: 70_000 }, () => [1, 2, 3, 4]), NaN];
  const session = reranker.session({ key: "shapes" });
  const rows = shapes.map((vector) => {
    const list = session.prepare({ now: 1, candidates: [{ id: "a", features: { vector, tags: vector, related: vector } }], facts: { account: { vector } } } as never);
    const ranking = list.rerank({ now: 1 });
    expect([ranking.source, ranking.reason]).toEqual(["model", null]);
    return readDecision(ranking.record()!).items[0]!["features"];
  });
  expect(new Set(rows.filter((_, at) => at !== 7)).size).toBe(1);
  reranker.dispose();
});

// The same bits natively, in Node and in Chromium, for generated requests with events.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createReranker } from "ranklet";
import { readRecords, type DecisionRecord, type Real } from "ranklet/records";
import { afterAll, beforeAll, expect, test } from "vitest";
import { executablePath, launch, load, open, site } from "./chromium.js";
import { binary, bundle, bundlePath, events, lines, request, type Event, type Request } from "./fixtures.js";
import { generate } from "./generate.js";
import { rankAll } from "./rank-all.js";

const REQUESTS = 1000;
const folder = mkdtempSync(join(tmpdir(), "ranklet-parity-"));
let requests: Request[];
let log: Event[];
let native: DecisionRecord[];

beforeAll(() => {
  ({ requests, events: log } = generate(REQUESTS));
  requests.push(request());
  log.push(...events());
  writeFileSync(join(folder, "requests.jsonl"), requests.map((one) => JSON.stringify(one)).join("\n"));
  writeFileSync(join(folder, "events.jsonl"), log.map((one) => JSON.stringify(one)).join("\n"));
  // As they were written: JSON has no -0, and nothing that is undefined.
  [requests, log] = JSON.parse(JSON.stringify([requests, log])) as [Request[], Event[]];
  const paths = ["--request", join(folder, "requests.jsonl"), "--events", join(folder, "events.jsonl")];
  native = lines(execFileSync(binary, ["rerank", bundlePath, ...paths, "--json"], { encoding: "utf8", maxBuffer: 2 ** 30, stdio: ["ignore", "pipe", "pipe"] }));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Fails with the first decision that differs, and only that: a whole log is too much to read. */
function expectSame(told: string): void {
  const found = readRecords(Buffer.from(told, "base64")) as DecisionRecord[];
  expect(found.length).toBe(native.length);
  const differs = found.findIndex((record, at) => bits(record) !== bits(native[at]!));
  if (differs < 0) return;
  const [ours, theirs] = [found[differs]!, native[differs]!];
  const item = ours.items.findIndex((one, at) => bits({ ...ours, items: [one] }) !== bits({ ...theirs, items: [theirs.items[at]!] }));
  expect({ decision: ours.decision_id, item: ours.items[item] ?? ours }).toEqual({ decision: theirs.decision_id, item: theirs.items[item] ?? theirs });
  throw new Error(`${ours.decision_id} differs in bits that equal each other`);
}

/** The bits of what both sides computed, one text a decision. */
function bits({ source, reason, decision_id, list_id, seed, now, surface, numerics, digests, items }: DecisionRecord): string {
  const number = (value: Real) => (typeof value === "number" ? hex(value) : String(value));
  const rows = items.map((item) =>
    [
      item.id, item.key, item.rank, item.server_rank, number(item.score), number(item.utility), number(item.propensity),
      number(item.log_propensity), item.suppressed, item.constraints, item.features,
      ...Object.entries(item.heads).map(([name, head]) => [name, number(head.raw), number(head.calibrated)]),
    ],
  );
  return JSON.stringify([source, reason, decision_id, list_id, seed, now, surface, numerics, digests, rows]);
}

function hex(value: number): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0).toString(16);
}

test("what is compared is worth it", () => {
  expect(native.length).toBe(requests.length);
  const items = native.flatMap((record) => record.items);
  expect(items.length).toBeGreaterThan(10_000);
  expect(native.filter(({ source }) => source === "model").length).toBe(native.length);
  expect(new Set(items.map(({ score }) => score)).size).toBeGreaterThan(100);
  expect(items.filter(({ suppressed }) => suppressed !== null).length).toBeGreaterThan(100);
  expect(items.filter(({ rank, server_rank }) => rank !== server_rank).length).toBeGreaterThan(1000);
  expect(items.some((item) => /7fc00000/.test(item.features as string))).toBe(true);
});

test("Node", async () => {
  const found = await rankAll(createReranker, bundle(), requests, log);
  expectSame(found);
});

test.skipIf(executablePath === undefined)("Chromium", async () => {
  const host = await site();
  const browser = await launch();
  try {
    host.files.set("/requests.jsonl", readFileSync(join(folder, "requests.jsonl")));
    host.files.set("/events.jsonl", readFileSync(join(folder, "events.jsonl")));
    const { page, noise } = await open(browser, host);
    await load(page);
    const text = await page.evaluate(async (source) => {
      const read = async (name: string) => (await (await fetch(name)).text()).split("\n").map((line) => JSON.parse(line) as never);
      const run = new Function(`return ${source}`)() as typeof rankAll;
      return run(ranklet.createReranker, "/ads-recs.ranklet", await read("/requests.jsonl"), await read("/events.jsonl"));
    }, rankAll.toString());
    expectSame(text);
    expect(noise).toEqual([]);
  } finally {
    await browser.close();
    await host.close();
  }
});

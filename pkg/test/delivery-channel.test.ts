// What an operator does by a channel, and what a page makes of it: stages, the kill switch, an answer's time, being offline,
// and clocks that jump.
import { bucketOf, createDelivery, type DeliveryOptions, type DeliveryState } from "ranklet/delivery";
import { memoryStore } from "ranklet/storage";
import { beforeEach, expect, test, vi } from "vitest";
import { answer, asked, entry, files, keys, leave, other, server, version, visit } from "./delivery-site.js";
import { channel } from "./signing.js";

const START = 1_790_000_000_000;
let now = START;

beforeEach(() => {
  now = START;
  for (const number of [3, 4]) files.set(`/b/${number}`, version(number));
});

const page = (options: Partial<DeliveryOptions> = {}) =>
  visit({ bundle: undefined as never, channel: server.url("/c"), ...options }, { clock: () => now });

let sequence = 0;
const publish = (document: object, by?: typeof keys) =>
  files.set("/c", channel({ sequence: ++sequence, bundles: [entry(3)], ...document }, by));

const model = (number: number) => ({ source: "model", reason: null, version: number });
const off = { source: "server", reason: "disabled", version: null };

test("stages: a unit's bucket decides, without a unit only what is for all, and who is in stays in", async () => {
  const units = ["u0", "u1", "u2", "u3", "u4", "u5"];
  const buckets = await Promise.all(units.map((unit) => bucketOf("spring", unit)));
  const middle = [...buckets].sort((a, b) => a - b)[3]!;
  publish({ salt: "spring", bundles: [entry(4, { percent: middle }), entry(3)] });
  for (const [place, unit] of units.entries()) expect(answer(await page({ unit })).version).toBe(buckets[place]! < middle ? 4 : 3);
  expect(answer(await page()).version).toBe(3);
  publish({ salt: "spring", bundles: [entry(4, { percent: 0 }), entry(3)] });
  expect(answer(await page({ unit: "u1" })).version).toBe(3);
  publish({ salt: "spring", bundles: [entry(4, { percent: 50 })] });
  // A unit that no entry holds has no model, whatever is stored or runs.
  const store = memoryStore();
  publish({});
  const before = await page({ store });
  publish({ salt: "spring", bundles: [entry(4, { percent: 50 })] });
  await before.delivery.refresh();
  for (const none of [before, await page({ store }), await page()]) {
    expect(answer(none)).toEqual(off);
    expect(none.delivery.state).toMatchObject({ disabled: "the channel has no bundle for this unit", problem: null });
  }
});

test("taking a stage back does not take the version back; the old model under a new version does", async () => {
  const store = memoryStore();
  publish({ bundles: [entry(4)] });
  expect(answer(await page({ store }))).toEqual(model(4));
  publish({ bundles: [entry(3)] });
  const back = await page({ store });
  await back.delivery.refresh();
  expect(answer(back)).toEqual(model(4));
  expect(back.delivery.state).toMatchObject({ problem: { code: "bundle_rollback" }, serving: { version: 4, from: "store" } });
  // It is not even fetched.
  expect(asked.filter(({ path }) => path === "/b/3")).toEqual([]);
  files.set("/b/5", version(5));
  publish({ bundles: [entry(5)] });
  await back.delivery.refresh();
  expect(answer(back)).toEqual(model(5));
});

test("the kill switch beats what runs, what is stored and what is on its way, and is lifted the same way", async () => {
  const store = memoryStore();
  publish({});
  const first = await page({ store });
  expect(answer(first)).toEqual(model(3));
  publish({ disabled: { detail: "wrong prices" } });
  const state = await first.delivery.refresh();
  expect(answer(first)).toEqual(off);
  expect(first.reranker.status.detail).toBe("wrong prices");
  expect(state).toMatchObject({ disabled: "wrong prices", problem: null });
  // A page that opens now fetches no bundle, online or not.
  asked.length = 0;
  expect(answer(await page({ store }))).toEqual(off);
  files.set("/c", 503);
  now += 120_000;
  expect(answer(await page({ store }))).toEqual(off);
  expect(asked.filter(({ path }) => path !== "/c")).toEqual([]);
  publish({});
  await first.delivery.refresh();
  expect(answer(first)).toEqual(model(3));
  // While a bundle hangs, the switch does not wait for it.
  files.set("/b/4", "hang");
  publish({ bundles: [entry(3, { version: 4, url: "b/4", sha256: "0".repeat(64) })] });
  const hanging = first.delivery.refresh();
  await vi.waitFor(() => expect(asked.at(-1)!.path).toBe("/b/4"));
  publish({ disabled: {} });
  void first.delivery.refresh();
  await vi.waitFor(() => expect(answer(first)).toEqual(off));
  first.reranker.dispose();
  await Promise.race([hanging, new Promise((done) => setTimeout(done, 20))]);
});

test("a kill switch with a time to live ends by itself, with no network and after a restart", async () => {
  const store = memoryStore();
  publish({});
  await page({ store });
  publish({ disabled: { until: START + 1000, detail: "until noon" } });
  const first = await page({ store });
  await first.delivery.refresh();
  expect(answer(first)).toEqual(off);
  files.set("/c", 503);
  now = START + 999;
  expect(answer(await page({ store }))).toEqual(off);
  now = START + 1000;
  expect(answer(await page({ store }))).toEqual(model(3));
  // The page that was open then is woken, though it asks for nothing.
  await vi.waitFor(() => expect(answer(first)).toEqual(model(3)), { timeout: 3000 });
});

test("an answer counts for its time without being asked for; then it is, and offline says what holds", async () => {
  for (const offline of ["keep", "off"] as const) {
    const store = memoryStore();
    now = START;
    publish({ ttl_ms: 1000, offline });
    await page({ store });
    leave();
    files.set("/c", 503);
    asked.length = 0;
    now = START + 999;
    const fresh = await page({ store });
    expect(answer(fresh)).toEqual(model(3));
    // The bundle comes from the store as well: nothing was fetched at all.
    expect(asked).toEqual([]);
    expect(fresh.delivery.state).toMatchObject({ serving: { from: "store" }, problem: null });
    leave();
    now = START + 1000;
    const late = await page({ store });
    expect(asked.map(({ path }) => path)).toEqual(["/c"]);
    expect(answer(late)).toEqual(offline === "keep" ? model(3) : off);
    expect(late.delivery.state.channel).toMatchObject({ readAt: START, problem: { code: "bundle_fetch_failed" } });
    publish({ ttl_ms: 1000, offline });
    await late.delivery.refresh();
    expect(answer(late)).toEqual(model(3));
  }
});

test("offline from the first visit on: the option says what holds, the last known good bundle or nothing", async () => {
  const store = memoryStore();
  files.set("/c", 503);
  expect(answer(await page({ store }))).toEqual({ source: "server", reason: "bundle_fetch_failed", version: null });
  expect(answer(await page({ store, offline: "off" }))).toEqual(off);
  publish({});
  expect(answer(await page({ store }))).toEqual(model(3));
  for (const key of await store.keys("")) {
    if (!key.endsWith("state")) continue;
    await store.set(key, JSON.stringify({ ...(JSON.parse((await store.get(key)) as string) as object), channel: null }));
  }
  files.set("/c", 503);
  expect(answer(await page({ store }))).toEqual(model(3));
});

test("a clock that jumps freezes no kill switch: an answer from the future is asked for anew", async () => {
  const store = memoryStore();
  now = START + 10 * 365 * 86_400_000;
  publish({ ttl_ms: 2_592_000_000 });
  await page({ store });
  now = START;
  publish({ ttl_ms: 2_592_000_000, disabled: {} });
  asked.length = 0;
  expect(answer(await page({ store }))).toEqual(off);
  expect(asked.map(({ path }) => path)).toEqual(["/c"]);
  // Put back while the page runs: the answer's time begins anew, and does not last for ten years.
  const other = memoryStore();
  publish({ ttl_ms: 1000, offline: "off" });
  const open = await page({ store: other });
  files.set("/c", 503);
  now = START - 365 * 86_400_000;
  await open.delivery.refresh();
  expect(answer(open)).toEqual(model(3));
  now += 1000;
  await open.delivery.refresh();
  expect(answer(open)).toEqual(off);
});

test("an older channel is refused, whatever it says", async () => {
  const store = memoryStore();
  publish({});
  const old = files.get("/c")!;
  publish({ disabled: {} });
  const first = await page({ store });
  files.set("/c", old);
  const state = await first.delivery.refresh();
  expect(answer(first)).toEqual(off);
  expect(state.channel?.problem?.code).toBe("bundle_rollback");
  expect(answer(await page({ store }))).toEqual(off);
});

test("a channel that is not one, or not signed as it must be, changes nothing", async () => {
  publish({});
  const running = await page();
  const bad: [unknown, string][] = [
    [new Uint8Array(Buffer.from("<!doctype html>")), "bundle_fetch_failed"], [new Uint8Array(), "bundle_fetch_failed"],
    [channel({ sequence: 99, bundles: "x" }), "bundle_fetch_failed"], [channel({ sequence: 99, format: 2, bundles: [] }), "bundle_fetch_failed"],
    [channel({ sequence: 99, bundles: [], disabled: {} }, other), "bundle_signature"], [404, "bundle_fetch_failed"],
    [new Uint8Array(100_000).fill(32), "bundle_fetch_failed"],
  ];
  for (const [file, code] of bad) {
    files.set("/c", file as Uint8Array);
    expect((await running.delivery.refresh()).channel?.problem?.code).toBe(code);
    expect(answer(running)).toEqual(model(3));
  }
  publish({});
  expect(answer(await page({ signedChannel: true }))).toEqual({ source: "server", reason: "bundle_unsigned", version: null });
  publish({}, keys);
  expect(answer(await page({ signedChannel: true }))).toEqual(model(3));
});

test("SHA-256 is checked before anything is opened", async () => {
  publish({ bundles: [entry(3, { sha256: "a".repeat(64) })] });
  const found = await page({ keys: "unsigned" });
  expect(answer(found)).toEqual({ source: "server", reason: "bundle_corrupt", version: null });
  // The channel and the file disagree on the version.
  publish({ bundles: [entry(3, { version: 4 })] });
  expect(answer(await page()).reason).toBe("bundle_corrupt");
});

test("an ETag saves the answer, and a 304 makes it count anew", async () => {
  publish({ ttl_ms: 1000, offline: "off" });
  const store = memoryStore();
  const first = await page({ store });
  now = START + 500;
  await first.delivery.refresh();
  expect(asked.filter(({ path }) => path === "/c").map(({ etag }) => etag !== undefined)).toEqual([false, true]);
  expect(first.delivery.state.channel).toMatchObject({ readAt: START + 500, problem: null });
  leave();
  now = START + 1400;
  asked.length = 0;
  await page({ store });
  expect(asked).toEqual([]);
  leave();
  now = START + 1500;
  expect(answer(await page({ store }))).toEqual(model(3));
  expect(asked).toEqual([{ path: "/c", etag: expect.any(String) as string }]);
});

test("the interval asks by itself; refreshes at a time are one; a disposed reranker asks no more", async () => {
  publish({});
  const states: DeliveryState[] = [];
  const polled = await page({ intervalMs: 40, onState: (state) => void states.push(state) });
  publish({ disabled: { detail: "now" } });
  await vi.waitFor(() => expect(answer(polled)).toEqual(off));
  expect(states.at(-1)!.disabled).toBe("now");
  const quiet = await page();
  asked.length = 0;
  polled.reranker.dispose();
  await Promise.all([1, 2, 3].map(() => quiet.delivery.refresh()));
  expect(asked.map(({ path }) => path)).toEqual(["/c"]);
  await new Promise((done) => setTimeout(done, 150));
  expect(asked).toHaveLength(1);
  quiet.reranker.dispose();
  await quiet.delivery.refresh();
  expect(asked).toHaveLength(1);
});

test("making a delivery does nothing, whatever it is made of", () => {
  for (const options of [{}, undefined, null, { keys: 3 }, { channel: "http://[", keys: [] }]) expect(() => createDelivery(options as never)).not.toThrow();
  expect(asked).toEqual([]);
});

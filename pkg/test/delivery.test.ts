// A reranker whose bundles come through `ranklet/delivery`, over real HTTP in Node: signatures, rollback and the last known
// good bundle, each failure provoked for real. What is printed and what is rejected unseen is watched by delivery-site.ts.
import type { DeliveryOptions } from "ranklet/delivery";
import { memoryStore, type Store } from "ranklet/storage";
import { expect, test, vi } from "vitest";
import { answer, asked, entry, failing, files, keys, other, server, version, visit, type File } from "./delivery-site.js";
import { bundle, request } from "./fixtures.js";
import { channel, digestOf, signed, withSlots } from "./signing.js";

test("a signed bundle: the model", async () => {
  files.set("/b", version(3));
  const page = await visit({});
  expect(answer(page)).toEqual({ source: "model", reason: null, version: 3 });
  expect(page.delivery.state).toEqual({
    serving: { name: "ads-recs", version: 3, sha256: digestOf(files.get("/b") as Uint8Array), from: "network" },
    problem: null, channel: null, disabled: null, storage: null,
  });
});

test.each<[string, () => File, Partial<DeliveryOptions>]>([
  ["bundle_unsigned", () => version(3, null), {}],
  ["bundle_signature", () => version(3, other), {}],
  ["bundle_signature", () => version(3, keys, "search"), { model: "ads-recs" }],
  ["bundle_rollback", () => version(3), { minVersion: 4 }],
  ["bundle_corrupt", () => version(3).slice(0, 3000), {}],
  ["bundle_corrupt", () => new Uint8Array(Buffer.from("<!doctype html><p>not here")), {}],
  ["bundle_fetch_failed", () => 500, {}],
  ["bundle_fetch_failed", () => "hang", { timeoutMs: 200 }],
  ["request_invalid", () => version(3), { keys: ["ed25519:00"] }],
  ["request_invalid", () => version(3), { bundle: undefined as never }],
])("%s: server order where nothing is known to be good", async (code, file, options) => {
  files.set("/b", file());
  const page = await visit(options);
  expect(answer(page)).toEqual({ source: "server", reason: code, version: null });
  expect(page.ready.reason).toBe(code);
  if (code !== "request_invalid") expect(page.delivery.state.problem?.code).toBe(code);
});

test("signature_unavailable: no WebCrypto", async () => {
  files.set("/b", version(3));
  const real = vi.spyOn(globalThis, "crypto", "get").mockReturnValue({} as Crypto);
  const page = await visit({});
  real.mockRestore();
  expect(answer(page)).toEqual({ source: "server", reason: "signature_unavailable", version: null });
});

test.each<[string, () => File]>([
  ["bundle_unsigned", () => version(4, null)],
  ["bundle_signature", () => version(4, other)],
  ["bundle_rollback", () => version(2)],
  ["bundle_corrupt", () => version(4).slice(0, 3000)],
  ["bundle_fetch_failed", () => 404],
  ["bundle_fetch_failed", () => "hang"],
  ["self_test_failed", () => failing(4)],
  ["bundle_incompatible", () => signed(withSlots(bundle(), (manifest) => Object.assign(manifest, { version: 4, requires: ["later"] })), keys)],
])("%s: the last known good bundle in its place, in the next visit and during one", async (code, file) => {
  const store = memoryStore();
  files.set("/b", version(3));
  const first = await visit({ store, timeoutMs: 300 });
  const stored = await store.keys("");
  files.set("/b", file());
  await first.delivery.refresh();
  const second = await visit({ store, timeoutMs: 300 });
  for (const page of [first, second]) {
    expect(page.delivery.state.problem?.code).toBe(code);
    expect(answer(page)).toEqual({ source: "model", reason: null, version: 3 });
  }
  expect(second.delivery.state.serving).toMatchObject({ version: 3, from: "store" });
  // The bad one took no room.
  expect(await store.keys("")).toEqual(stored);
});

test("the last known good bundle is never refused for its version, only for its keys", async () => {
  const store = memoryStore();
  files.set("/b", version(3));
  await visit({ store });
  files.set("/b", 503);
  expect(answer(await visit({ store, minVersion: 9 }))).toEqual({ source: "model", reason: null, version: 3 });
  expect(answer(await visit({ store, keys: other.pub }))).toEqual({ source: "server", reason: "bundle_fetch_failed", version: null });
  // It is named by its content: of the same version, another file is another bundle.
  files.set("/b", version(3, keys, "renamed"));
  expect(answer(await visit({ store, minVersion: 9 })).version).toBe(3);
  // Versions that ran here count, whatever is left of their bundles.
  files.set("/b", version(7));
  expect(answer(await visit({ store })).version).toBe(7);
  for (const key of await store.keys("")) if (!key.endsWith("state")) await store.delete(key);
  files.set("/b", version(6));
  expect(answer(await visit({ store }))).toEqual({ source: "server", reason: "bundle_rollback", version: null });
  files.set("/b", version(7));
  expect(answer(await visit({ store })).version).toBe(7);
});

test("what is in the store is not believed: cut, turned, or of another form", async () => {
  for (const spoil of [
    (value: Uint8Array) => value.slice(0, 500),
    (value: Uint8Array) => value.map((byte, at) => (at === 9000 ? byte ^ 1 : byte)),
    () => "a text" as never,
    () => version(3, other),
  ]) {
    const store = memoryStore();
    files.set("/b", version(3));
    await visit({ store });
    for (const key of await store.keys("")) if (!key.endsWith("state")) await store.set(key, spoil((await store.get(key)) as Uint8Array));
    files.set("/b", 503);
    expect(answer(await visit({ store }))).toEqual({ source: "server", reason: "bundle_fetch_failed", version: null });
  }
  for (const state of ["", "null", "[]", "{", '{"floor":"x","good":{"sha256":1},"channel":{"readAt":"y"}}', '{"good":{"sha256":"00","name":"a","version":1}}']) {
    const store = memoryStore();
    files.set("/b", version(3));
    await visit({ store });
    await store.set((await store.keys("")).find((key) => key.endsWith("state"))!, state);
    expect(answer(await visit({ store })).version).toBe(3);
  }
});

test("a store that fails, or has no room, costs the memory and no ranking", async () => {
  files.set("/b", version(3));
  const broken: Store = { get: () => Promise.reject(new Error("no")), set: () => Promise.reject(new Error("no")), delete: () => Promise.reject(new Error("no")), keys: () => Promise.reject(new Error("no")) };
  const page = await visit({ store: broken });
  expect(answer(page).version).toBe(3);
  expect(page.delivery.state.storage).toBe("no");
  // Room for a text and for no bundle: the version is still known.
  const small = memoryStore();
  const full: Store = { ...small, set: (key, value) => (typeof value === "string" ? small.set(key, value) : Promise.reject(new DOMException("full", "QuotaExceededError"))) };
  expect((await visit({ store: full })).delivery.state.storage).toBe("full");
  files.set("/b", version(2));
  expect(answer(await visit({ store: full })).reason).toBe("bundle_rollback");
});

test("refresh swaps while lists are ranked; a refused bundle is not fetched again until another is named", async () => {
  files.set("/b/3", version(3));
  files.set("/b/4", version(4, other));
  files.set("/c", channel({ bundles: [entry(3)] }));
  const page = await visit({ bundle: undefined as never, channel: server.url("/c") });
  const asking = request();
  const list = page.reranker.session().prepare(asking);
  const before = list.rerank({ now: asking.now });
  expect([before.source, page.reranker.status.bundle?.version]).toEqual(["model", 3]);
  files.set("/c", channel({ sequence: 2, bundles: [entry(4)] }));
  for (let turn = 0; turn < 3; turn++) expect((await page.delivery.refresh()).problem?.code).toBe("bundle_signature");
  expect(asked.filter(({ path }) => path === "/b/4")).toHaveLength(1);
  expect(list.rerank({ now: asking.now }).source).toBe("model");
  files.set("/b/5", version(5));
  files.set("/c", channel({ sequence: 3, bundles: [entry(5)] }));
  const state = await page.delivery.refresh();
  expect(state).toMatchObject({ problem: null, serving: { version: 5, from: "network" }, channel: { sequence: 3, problem: null } });
  expect(list.rerank({ now: asking.now }).items).toEqual(before.items);
  expect(page.reranker.status.bundle?.version).toBe(5);
});

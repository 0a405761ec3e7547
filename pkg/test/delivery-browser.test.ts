// Delivery in real pages: signatures by the browser's own WebCrypto, an insecure origin, the last known good bundle over
// restarts, conditional requests by the browser's cache, and a channel that is asked only while somebody looks.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test as always } from "vitest";
import { executablePath } from "./chromium.js";
import { bundle, request, root } from "./fixtures.js";
import { go, launch, open, pages, type Pages } from "./pages.js";
import { channel, digestOf, makeKeys, signed, withSlots, type Keys } from "./signing.js";

const test = always.skipIf(executablePath === undefined);
const serverIds = request().candidates.map(({ id }) => id);
let browser: Browser;
let host: Pages;
let keys: Keys;
let context: BrowserContext;
let said: string[] = [];

beforeAll(async () => {
  if (executablePath === undefined) return;
  [browser, host] = await Promise.all([launch("--host-resolver-rules=MAP insecure.test 127.0.0.1"), pages()]);
  keys = makeKeys();
});

beforeEach(async () => {
  context = await browser?.newContext();
  host?.files.clear();
});

afterEach(async () => {
  await context?.close();
  expect(said).toEqual([]);
});

afterAll(async () => {
  await browser?.close();
  await host?.close();
});

const version = (number: number, by: Keys | null = keys) => {
  const bytes = withSlots(bundle(), (manifest) => Object.assign(manifest, { version: number }));
  return by ? signed(bytes, by) : bytes;
};

async function tab(address = host.url("/")): Promise<Page> {
  const { page, noise } = await open(context, address);
  said = noise;
  return page;
}

/** A reranker by a delivery in a page, when all has settled; and what it answers to the recorded request. */
const rank = (page: Page, options: object) =>
  page.evaluate(async ({ options: given, asked }) => {
    const made = delivery.createDelivery({ store: storage.indexedDbStore(), ...given } as never);
    const reranker = ranklet.createReranker<{ id: string }>({ delivery: made } as never);
    globalThis.running = { made, reranker };
    await reranker.ready;
    await new Promise((done) => setTimeout(done, 250));
    const ranking = reranker.session().prepare(asked as never).rerank({ now: asked.now });
    return {
      source: ranking.source, reason: ranking.reason, ids: ranking.items.map(({ id }) => id),
      version: reranker.status.bundle?.version ?? null, state: made.state,
    };
  }, { options: { keys: keys.pub, bundle: "/b", ...options }, asked: request() });

declare global {
  // eslint-disable-next-line no-var
  var running: { made: import("ranklet/delivery").ManagedDelivery; reranker: import("ranklet").Reranker<{ id: string }> };
}

test("the test vectors, and every bit of the slots, by the browser's WebCrypto; with Ed25519 and without it", async () => {
  const { outputFiles } = await build({
    stdin: {
      contents: 'export { PinnedKeys } from "./src/delivery-verify.ts"; export { sealBundle } from "./src/delivery-slots.ts";',
      resolveDir: join(root, "pkg"),
    },
    bundle: true, format: "esm", write: false,
  });
  host.files.set("/verify.mjs", outputFiles[0]!.contents);
  const fixture = (name: string) => readFileSync(join(root, "tests/fixtures/signing", name));
  host.files.set("/signed", new Uint8Array(fixture("signed.ranklet")));
  const { cases } = JSON.parse(fixture("vectors.json").toString()) as {
    cases: { name: string; keys: string[]; codes: string[]; edits: { at: number; text: string }[]; length?: number }[];
  };
  const page = await tab();
  const run = (without: boolean) =>
    page.evaluate(async ({ cases: all, pub, without: lacks }) => {
      const { PinnedKeys, sealBundle } = (await (0, eval)('import("/verify.mjs")')) as typeof import("../src/delivery-verify.js") & typeof import("../src/delivery-slots.js");
      if (lacks) {
        const real = crypto.subtle.importKey.bind(crypto.subtle) as (...given: unknown[]) => Promise<CryptoKey>;
        crypto.subtle.importKey = ((...given: unknown[]) =>
          (given[2] as { name: string }).name === "Ed25519" ? Promise.reject(new DOMException("no", "NotSupportedError")) : real(...given)) as never;
      }
      const small = new Uint8Array(await (await fetch("/signed")).arrayBuffer());
      const refusal = async (bytes: Uint8Array, by: string[]) => {
        try {
          await new PinnedKeys(by.map((name) => pub[name]!)).verify(sealBundle(bytes));
          return null;
        } catch (thrown) {
          return (thrown as { code: string }).code;
        }
      };
      const found: Record<string, string | null> = {};
      for (const { name, keys: by, edits, length } of all) {
        const bytes = small.slice(0, length);
        for (const { at, text } of edits) bytes.set(new TextEncoder().encode(text), at);
        found[name] = await refusal(bytes, by);
      }
      const header = new TextDecoder("latin1").decode(small.subarray(0, 5000));
      const through: number[] = [];
      for (let at = header.indexOf('"ranklet.signature'); at < header.indexOf('"sha256":"') + 80; at++) {
        for (let bit = 0; bit < 8; bit += lacks ? 4 : 1) {
          const bytes = small.slice();
          bytes[at]! ^= 1 << bit;
          if ((await refusal(bytes, ["one"])) === null) through.push(at);
        }
      }
      return { found, through, ed25519: header.indexOf('"ranklet.signature.ed25519":"') + 29 };
    }, { cases, pub: { one: fixture("one.test.pub").toString(), two: fixture("two.test.pub").toString() } as Record<string, string>, without });
  const whole = await run(false);
  for (const { name, codes } of cases) expect(codes.length ? codes : [null], name).toContain(whole.found[name]);
  expect(whole.through).toEqual([]);
  const half = await run(true);
  // Nobody there can read Ed25519's signature; what P-256's covers, and its own slot, is held.
  expect(half.through.filter((at) => at < half.ed25519 || at >= half.ed25519 + 128)).toEqual([]);
  for (const { name, codes } of cases) if (!/ed25519|upper-case/.test(name)) expect(codes.length ? codes : [null], name).toContain(half.found[name]);
}, 60_000);

test("a signed bundle runs; unsigned, forged and rolled back, the server's order with its reason", async () => {
  host.files.set("/b", version(3));
  const page = await tab();
  const good = await rank(page, {});
  expect(good).toMatchObject({ source: "model", reason: null, version: 3 });
  expect(good.ids).not.toEqual(serverIds);
  for (const [code, file, more] of [
    ["bundle_unsigned", version(3, null), {}],
    ["bundle_signature", version(3, makeKeys()), {}],
    ["bundle_rollback", version(3), { minVersion: 4 }],
  ] as const) {
    host.files.set("/b", file);
    expect(await rank(page, { ...more, name: code })).toMatchObject({ source: "server", reason: code, ids: serverIds, state: { problem: { code } } });
  }
});

test("signature_unavailable: an origin that is not secure has no WebCrypto", async () => {
  host.files.set("/b", version(3));
  const page = await tab(host.url("/").replace("127.0.0.1", "insecure.test"));
  expect(await page.evaluate(() => [isSecureContext, typeof crypto.subtle])).toEqual([false, "undefined"]);
  expect(await rank(page, {})).toMatchObject({ source: "server", reason: "signature_unavailable", ids: serverIds });
});

test("the last known good bundle over a restart, from the database, while the new one fails", async () => {
  host.files.set("/b", version(3));
  const page = await tab();
  const first = await rank(page, {});
  for (const [code, file] of [["bundle_fetch_failed", 503], ["bundle_signature", version(4, makeKeys())], ["bundle_rollback", version(2)]] as const) {
    host.files.set("/b", file);
    await go(page, host.url("/"));
    const found = await rank(page, {});
    expect(found).toMatchObject({ source: "model", version: 3, ids: first.ids, state: { problem: { code }, serving: { from: "store", version: 3 } } });
  }
  // The browser reports the 503 by itself.
  expect(said.filter((line) => !line.includes("503"))).toEqual([]);
  said = [];
});

test("a channel: one request that the cache makes conditional, the kill switch, and no request while nobody looks", async () => {
  host.files.set("/b", version(3));
  const publish = (sequence: number, more: object) =>
    host.files.set("/c", channel({ sequence, ttl_ms: 60_000, bundles: [{ url: "b", sha256: digestOf(host.files.get("/b") as Uint8Array), version: 3 }], ...more }, keys));
  publish(1, {});
  const page = await tab();
  expect(await rank(page, { bundle: undefined, channel: "/c", signedChannel: true })).toMatchObject({ source: "model", version: 3 });
  await page.evaluate(() => running.made.refresh());
  expect(host.asked.filter(({ path }) => path === "/c").map(({ status }) => status)).toEqual([200, 304]);
  publish(2, { disabled: { detail: "off" } });
  await page.evaluate(() => running.made.refresh());
  expect(await page.evaluate(() => running.reranker.status)).toMatchObject({ source: "server", reason: "disabled", detail: "off" });
  // It outlasts the page and the network.
  host.files.set("/c", 503);
  await go(page, host.url("/"));
  expect(await rank(page, { bundle: undefined, channel: "/c", signedChannel: true })).toMatchObject({ reason: "disabled", ids: serverIds });
  publish(3, {});
  await go(page, host.url("/"));
  const hidden = (is: boolean) =>
    page.evaluate((hide) => {
      Object.defineProperty(document, "visibilityState", { value: hide ? "hidden" : "visible", configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, is);
  await rank(page, { bundle: undefined, channel: "/c", signedChannel: true, intervalMs: 50, name: "polled" });
  await expect.poll(() => host.asked.filter(({ path }) => path === "/c").length).toBeGreaterThan(6);
  await hidden(true);
  await new Promise((done) => setTimeout(done, 150));
  host.asked.length = 0;
  await new Promise((done) => setTimeout(done, 300));
  expect(host.asked).toEqual([]);
  publish(4, { disabled: { detail: "seen at once" } });
  await hidden(false);
  await expect.poll(() => page.evaluate(() => running.reranker.status.detail)).toBe("seen at once");
  said = said.filter((line) => !line.includes("503"));
});

test("importing the entries does nothing: no clock, no randomness, no fetch, no database, no channel", async () => {
  const page = await context.newPage();
  await page.goto(host.url("/"));
  const used = await page.evaluate(`(async () => {
    const seen = [];
    for (const [owner, name] of [[Date, "now"], [Math, "random"], [crypto, "getRandomValues"], [globalThis, "fetch"], [globalThis, "setTimeout"],
      [globalThis, "addEventListener"], [document, "addEventListener"], [IDBFactory.prototype, "open"], [globalThis, "BroadcastChannel"]]) {
      const real = owner[name];
      owner[name] = function (...given) { seen.push(name); return Reflect.apply(real, this, given); };
    }
    await import("/delivery.js");
    await import("/storage.js");
    return seen;
  })()`);
  expect(used).toEqual([]);
});

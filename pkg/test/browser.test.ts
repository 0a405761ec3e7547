// What needs a browser: content security policies, V8 without SIMD, MIME types, what is fetched and when.
import { createHash } from "node:crypto";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test as always } from "vitest";
import { executablePath, launch, load, open, site, type Site } from "./chromium.js";
import { bundle, request } from "./fixtures.js";

const test = always.skipIf(executablePath === undefined);
let browser: Browser;
let host: Site;

beforeAll(async () => {
  if (executablePath === undefined) return;
  [browser, host] = await Promise.all([launch(), site()]);
});

afterAll(async () => {
  await browser?.close();
  await host?.close();
});

beforeEach(() => {
  host.policy = undefined;
  host.wasmType = "application/wasm";
  host.asked.length = 0;
});

/** Ranks the recorded request in a page; source, reason and the order of ids. */
async function rank(page: Page) {
  await load(page);
  return page.evaluate(async (asked) => {
    const reranker = ranklet.createReranker<{ id: string }>({ bundle: "/ads-recs.ranklet" });
    const { reason } = await reranker.ready;
    const ranking = reranker.session().prepare(asked as never).rerank({ now: asked.now });
    return { ready: reason, source: ranking.source, reason: ranking.reason, ids: ranking.items.map(({ id }) => id) };
  }, request());
}

async function answer(by = browser) {
  const { page, noise } = await open(by, host);
  const found = await rank(page);
  await page.close();
  return { ...found, noise };
}

const serverIds = request().candidates.map(({ id }) => id);

test("the model, with one module, one runtime, one bundle, and nothing on the console", async () => {
  const found = await answer();
  expect(found).toMatchObject({ ready: null, source: "model", reason: null, noise: [] });
  expect(found.ids).not.toEqual(serverIds);
  expect([...host.asked].sort()).toEqual(["/", "/ads-recs.ranklet", "/browser.js", "/ranklet.wasm"]);
});

test("a wrong MIME type: compiled from bytes, the model", async () => {
  host.wasmType = "text/plain";
  expect(await answer()).toMatchObject({ source: "model", noise: [] });
});

test("wasm_fetch_failed: the runtime is not there", async () => {
  host.wasmType = undefined;
  const found = await answer();
  expect(found).toMatchObject({ source: "server", reason: "wasm_fetch_failed", ids: serverIds });
  // The browser's own report of the 404, and nothing of ours.
  expect(found.noise).toEqual([expect.stringContaining("404")]);
});

test("csp_blocked, without a fetch; the narrow permission is enough", async () => {
  host.policy = "default-src 'self'; img-src data:; script-src 'self'";
  const blocked = await answer();
  expect(blocked).toMatchObject({ source: "server", reason: "csp_blocked", ids: serverIds });
  expect(host.asked).not.toContain("/ranklet.wasm");
  expect(host.asked).not.toContain("/ads-recs.ranklet");
  host.policy += " 'wasm-unsafe-eval'";
  expect(await answer()).toMatchObject({ source: "model", noise: [] });
});

test("bundle_corrupt at every place, whether the page may hash or not", async () => {
  const { page, noise } = await open(browser, host);
  await load(page);
  const found = await page.evaluate(async () => {
    const whole = new Uint8Array(await (await fetch("/ads-recs.ranklet")).arrayBuffer());
    const wasm = await WebAssembly.compile(await (await fetch("/ranklet.wasm")).arrayBuffer());
    let hashes = 0;
    const real = SubtleCrypto.prototype.digest;
    SubtleCrypto.prototype.digest = function (this: SubtleCrypto, ...given: Parameters<typeof real>) {
      hashes += 1;
      return real.apply(this, given);
    };
    const status = async (bytes: BufferSource) => {
      const reranker = ranklet.createReranker({ bundle: bytes as never, wasm });
      const { reason, bundle } = await reranker.ready;
      reranker.dispose();
      return reason ?? bundle!.digests.bundle;
    };
    const all = async () => {
      const answers = new Set<string>();
      for (let place = 0; place < 32; place++) {
        const flipped = whole.slice();
        flipped[Math.floor((place * (whole.length - 1)) / 31)]! ^= 1 << place % 8;
        answers.add(await status(flipped));
      }
      return [[...answers], await status(whole), hashes];
    };
    const secure = await all();
    hashes = 0;
    // As where a page is no secure context.
    Object.defineProperty(Crypto.prototype, "subtle", { value: undefined });
    return { secure, insecure: await all() };
  });
  const digest = createHash("sha256").update(bundle()).digest("hex");
  expect(found).toEqual({ secure: [["bundle_corrupt"], digest, 66], insecure: [["bundle_corrupt"], digest, 0] });
  expect(noise).toEqual([]);
  await page.close();
});

test("simd_unavailable", async () => {
  const old = await launch("--no-enable-sse4-1");
  expect(await answer(old)).toMatchObject({ source: "server", reason: "simd_unavailable", ids: serverIds, noise: [] });
  await old.close();
});

test("importing does nothing: no clock, no randomness, no fetch, no global", async () => {
  const { page } = await open(browser, host);
  await page.evaluate(() => {
    const seen: string[] = ((globalThis as Record<string, unknown>)["seen"] = []);
    const watch = (owner: object, name: string) => {
      const real = (owner as Record<string, unknown>)[name] as (...given: unknown[]) => unknown;
      (owner as Record<string, unknown>)[name] = function (this: unknown, ...given: unknown[]) {
        seen.push(name);
        return Reflect.apply(real, this, given);
      };
    };
    watch(Date, "now");
    watch(Math, "random");
    watch(performance, "now");
    watch(crypto, "getRandomValues");
    watch(globalThis, "fetch");
    watch(globalThis, "setTimeout");
    watch(WebAssembly, "compile");
    (globalThis as Record<string, unknown>)["names"] = [];
    (globalThis as Record<string, unknown>)["names"] = Object.getOwnPropertyNames(globalThis);
  });
  await load(page);
  const used = await page.evaluate(() => {
    const { seen, names } = globalThis as unknown as { seen: string[]; names: string[] };
    return [...seen, ...Object.getOwnPropertyNames(globalThis).filter((name) => name !== "ranklet" && !names.includes(name))];
  });
  expect(used).toEqual([]);
  await page.close();
});

test("a page that is left while it loads says nothing", async () => {
  const { page, noise } = await open(browser, host);
  await load(page);
  await page.evaluate(async () => {
    const { createReranker } = ranklet;
    createReranker({ bundle: "/ads-recs.ranklet" }).dispose();
    createReranker({ bundle: Promise.reject(new Error("offline")), wasm: Promise.reject(new Error("offline")) });
    createReranker({ bundle: "http://[not a url" });
    await new Promise((done) => setTimeout(done, 200));
  });
  expect(noise).toEqual([]);
  await page.close();
});

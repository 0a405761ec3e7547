// Each reason that can occur in Node, provoked for real. Those that need a browser are in browser.test.ts, traps in
// trap.test.ts.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createReranker, type RerankerOptions } from "ranklet";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { binary, bundle, dist, edited, model, request, wasm, type Candidate } from "./fixtures.js";
import { serve, type Served } from "./server.js";

let server: Served;
const held: (() => void)[] = [];

beforeAll(async () => {
  server = await serve(({ url }, response) => {
    if (url === "/bundle") response.end(bundle());
    else if (url === "/wasm-as-text") response.setHeader("content-type", "text/plain").end(wasm());
    else if (url === "/wasm") response.setHeader("content-type", "application/wasm").end(wasm());
    else if (url === "/wasm-cut") response.setHeader("content-type", "application/wasm").end(wasm().subarray(0, 5000));
    else if (url === "/page") response.setHeader("content-type", "text/html").end("<!doctype html><p>Not here.");
    else if (url === "/never") return;
    else if (url === "/late") held.push(() => response.end(bundle()));
    else response.writeHead(404).end();
  });
});

afterAll(() => server.close());

/** What a reranker with these options answers to the recorded request. */
async function answer(options: Partial<RerankerOptions<Candidate>>) {
  const reranker = createReranker<Candidate>({ bundle: bundle(), ...options });
  const status = await reranker.ready;
  const asked = request();
  const ranking = reranker.session().prepare(asked).rerank({ now: asked.now });
  reranker.dispose();
  if (ranking.source === "server") expect(ranking.items).toEqual(asked.candidates);
  expect(ranking.source).toBe(status.source);
  expect(ranking.reason).toBe(status.reason);
  return ranking.reason;
}

test("nothing wrong: the model", async () => {
  expect(await answer({})).toBeNull();
});

test("loading", () => {
  const reranker = createReranker<Candidate>({ bundle: bundle() });
  const ranking = reranker.session().prepare(request()).rerank();
  expect([ranking.source, ranking.reason]).toEqual(["server", "loading"]);
  expect(ranking.items).toEqual(request().candidates);
  reranker.dispose();
});

test("disposed: the list, the reranker", async () => {
  const reranker = createReranker<Candidate>({ bundle: bundle() });
  await reranker.ready;
  const session = reranker.session();
  const [one, other] = [session.prepare(request()), session.prepare(request())];
  one.dispose();
  expect(one.rerank().reason).toBe("disposed");
  expect(other.rerank().reason).toBeNull();
  reranker.dispose();
  expect(other.rerank().reason).toBe("disposed");
  expect(session.observe({ type: "search", value: "budget" })).toMatchObject({ accepted: true, due: false });
  expect(reranker.status.reason).toBe("disposed");
});

test("disposed before the load ended", async () => {
  const reranker = createReranker<Candidate>({ bundle: bundle() });
  reranker.dispose();
  expect((await reranker.ready).reason).toBe("disposed");
});

test("superseded: the older response, whichever came first", async () => {
  const reranker = createReranker<Candidate>({ bundle: bundle() });
  await reranker.ready;
  const session = reranker.session();
  const asked = request();
  const at = (ms: number) => session.prepare({ ...asked, list_id: "home", now: asked.now + ms });
  const second = at(2000);
  const first = at(1000);
  expect([first.rerank().reason, second.rerank().reason]).toEqual(["superseded", null]);
  const third = at(3000);
  expect([second.rerank().reason, third.rerank().reason]).toEqual(["superseded", null]);
  expect(second.rerank().items).toEqual(asked.candidates);
  reranker.dispose();
});

test("stale_list: its session was disposed", async () => {
  const reranker = createReranker<Candidate>({ bundle: bundle() });
  await reranker.ready;
  const session = reranker.session();
  const list = session.prepare(request());
  expect(list.rerank().source).toBe("model");
  session.dispose();
  expect(list.rerank().reason).toBe("stale_list");
  reranker.dispose();
});

test("wasm_unavailable and simd_unavailable, by the engine's own switches", () => {
  const script = `
    import { createReranker } from ${JSON.stringify(pathToFileURL(join(dist, "node.js")).href)};
    const { reason } = await createReranker({ bundle: ${JSON.stringify(join(model, "spec.toml"))} }).ready;
    process.stdout.write(reason);`;
  const run = (flag: string) => execFileSync(process.execPath, [flag, "--input-type=module", "-e", script], { encoding: "utf8" });
  expect(run("--no-expose-wasm")).toBe("wasm_unavailable");
  expect(run("--no-enable-sse4-1")).toBe("simd_unavailable");
});

test("wasm_fetch_failed: 404, nobody there, no file, no such thing", async () => {
  expect(await answer({ wasm: server.url("/not-there") })).toBe("wasm_fetch_failed");
  expect(await answer({ wasm: "http://127.0.0.1:9/" })).toBe("wasm_fetch_failed");
  expect(await answer({ wasm: "/not/there.wasm" })).toBe("wasm_fetch_failed");
  expect(await answer({ wasm: Promise.reject(new Error("no")) })).toBe("wasm_fetch_failed");
  expect(await answer({ wasm: 7 as never })).toBe("wasm_fetch_failed");
});

test("wasm_fetch_failed: the package without its wasm file", async () => {
  const copy = mkdtempSync(join(tmpdir(), "ranklet-"));
  cpSync(dist, copy, { recursive: true, filter: (file) => !file.endsWith(".wasm") });
  cpSync(join(dist, "../package.json"), join(copy, "package.json"));
  const { createReranker: create } = (await import(pathToFileURL(join(copy, "node.js")).href)) as typeof import("ranklet");
  expect((await create({ bundle: bundle() }).ready).reason).toBe("wasm_fetch_failed");
  rmSync(copy, { recursive: true });
});

test("wasm_invalid: a page, a cut file, another module", async () => {
  expect(await answer({ wasm: server.url("/page") })).toBe("wasm_invalid");
  expect(await answer({ wasm: server.url("/wasm-cut") })).toBe("wasm_invalid");
  expect(await answer({ wasm: wasm().subarray(0, 5000) })).toBe("wasm_invalid");
  expect(await answer({ wasm: new Uint8Array(0) })).toBe("wasm_invalid");
  expect(await answer({ wasm: Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0) })).toBe("wasm_invalid");
});

test("the wasm from everywhere: URL, wrong MIME type, Response, bytes, Module", async () => {
  expect(await answer({ wasm: server.url("/wasm") })).toBeNull();
  expect(await answer({ wasm: server.url("/wasm-as-text") })).toBeNull();
  expect(await answer({ wasm: new URL(server.url("/wasm")) })).toBeNull();
  expect(await answer({ wasm: fetch(server.url("/wasm")) })).toBeNull();
  expect(await answer({ wasm: wasm().buffer })).toBeNull();
  expect(await answer({ wasm: WebAssembly.compile(wasm()) })).toBeNull();
  expect(await answer({ wasm: pathToFileURL(join(dist, "ranklet.wasm")) })).toBeNull();
});

test("the bundle from everywhere: URL, Response, buffer, view, promise", async () => {
  const padded = new Uint8Array(bundle().length + 9);
  padded.set(bundle(), 9);
  for (const given of [server.url("/bundle"), fetch(server.url("/bundle")), bundle().buffer, padded.subarray(9), Promise.resolve(bundle())]) {
    expect(await answer({ bundle: given })).toBeNull();
  }
});

test("the caller may reuse its buffer at once", async () => {
  const bytes = bundle();
  const reranker = createReranker({ bundle: bytes });
  await Promise.resolve().then(() => undefined);
  await reranker.ready;
  bytes.fill(0);
  expect(reranker.status.source).toBe("model");
  reranker.dispose();
});

test("bundle_fetch_failed: 404, no file, nothing given", async () => {
  expect(await answer({ bundle: server.url("/not-there") })).toBe("bundle_fetch_failed");
  expect(await answer({ bundle: "/not/there.ranklet" })).toBe("bundle_fetch_failed");
  expect(await answer({ bundle: Promise.reject(new Error("no")) })).toBe("bundle_fetch_failed");
  expect(await answer({ bundle: undefined as never })).toBe("bundle_fetch_failed");
  expect(await answer({ bundle: { toString: null } as never })).toBe("bundle_fetch_failed");
});

test("load_timeout, and a load that ends late all the same", async () => {
  expect(await answer({ bundle: server.url("/never"), loadTimeoutMs: 40 })).toBe("load_timeout");
  const reranker = createReranker<Candidate>({ bundle: server.url("/late"), loadTimeoutMs: 40 });
  const asked = request();
  const list = reranker.session().prepare(asked);
  expect((await reranker.ready).reason).toBe("load_timeout");
  expect(list.rerank({ now: asked.now }).reason).toBe("load_timeout");
  await new Promise<void>((due) => {
    list.subscribe(due);
    for (const release of held) release();
  });
  expect(list.rerank({ now: asked.now }).source).toBe("model");
  reranker.dispose();
});

// The host's hashes where it has any; the engine's own where it has none, or where they are wrong.
test.each([
  ["the host hashes", undefined],
  ["the engine hashes", { subtle: undefined }],
  ["the host hashes wrongly", { subtle: { digest: async () => new ArrayBuffer(32) } }],
  ["the host's hashes are of another size", { subtle: { digest: async () => new ArrayBuffer(20) } }],
])("bundle_corrupt at every place, and at none the same digest: %s", async (_, crypto) => {
  if (crypto) vi.stubGlobal("crypto", crypto);
  try {
    const whole = bundle();
    const header = 8 + new DataView(whole.buffer).getUint32(0, true);
    const key = Buffer.from(whole.buffer).indexOf('"sha256":"');
    const places = [0, 3, 7, 8, 9, key, key + 9, key + 10, key + 73, key + 74, header - 1, header, header + 1, whole.length - 1];
    // Not of a signature's slots, which no digest sees: another digit there is another signature.
    const spread = Array.from({ length: 40 }, (_, at) => Math.floor((at * whole.length) / 40));
    places.push(...spread.filter((at) => at < key - 347 || at >= key));
    for (const at of places) {
      const flipped = whole.slice();
      flipped[at]! ^= 1 << at % 8;
      const reranker = createReranker({ bundle: flipped });
      expect((await reranker.ready).reason, `a bit of byte ${at}`).toBe("bundle_corrupt");
      reranker.dispose();
    }
    const reranker = createReranker({ bundle: whole });
    const { reason, bundle: found } = await reranker.ready;
    expect([reason, found?.digests.bundle]).toEqual([null, createHash("sha256").update(whole).digest("hex")]);
    reranker.dispose();
  } finally {
    vi.unstubAllGlobals();
  }
});

test("the bytes that are hashed are the bytes that the engine gets: the caller's own may change meanwhile", async () => {
  const given = bundle();
  const { subtle } = crypto;
  let hashed = 0;
  vi.stubGlobal("crypto", {
    subtle: {
      digest(algorithm: string, bytes: BufferSource) {
        hashed += 1;
        given.fill(0);
        return subtle.digest(algorithm, bytes);
      },
    },
  });
  try {
    const reranker = createReranker({ bundle: given });
    expect((await reranker.ready).reason).toBeNull();
    expect(hashed).toBe(2);
    reranker.dispose();
  } finally {
    vi.unstubAllGlobals();
  }
});

test("bundle_corrupt: empty, cut anywhere, one bit, another file", async () => {
  const whole = bundle();
  for (const length of [0, 7, 8, 100, Math.floor(whole.length * 0.6), whole.length - 1]) {
    expect(await answer({ bundle: whole.subarray(0, length) })).toBe("bundle_corrupt");
  }
  for (const at of [0, 9, whole.length >> 1, whole.length - 1]) {
    const flipped = whole.slice();
    flipped[at]! ^= 1;
    expect(await answer({ bundle: flipped })).toBe("bundle_corrupt");
  }
  expect(await answer({ bundle: server.url("/page") })).toBe("bundle_corrupt");
});

test("bundle_incompatible: a newer format, an unknown op, a section that must be known", async () => {
  const changed = (edit: Parameters<typeof edited>[1]) => answer({ bundle: edited(bundle(), edit) });
  expect(await changed(() => undefined)).toBeNull();
  expect(await changed((manifest) => (manifest.format += 1))).toBe("bundle_incompatible");
  expect(await changed((manifest) => (manifest.minor += 99))).toBe("bundle_incompatible");
  expect(await changed((manifest) => (manifest.requires = ["telepathy"]))).toBe("bundle_incompatible");
  expect(await changed((manifest) => rename(manifest.plan))).toBe("bundle_incompatible");
});

/** Gives the plan's first step an op that no runtime has. */
function rename(plan: { steps: Record<string, unknown>[] }): void {
  const text = JSON.stringify(plan.steps[0]!["op"]);
  plan.steps[0]!["op"] = JSON.parse(text.replace(/[a-z_]+/i, "sort_of")) as unknown;
}

test("self_test_failed: the device computes something else than the compiler did", async () => {
  const other = edited(bundle(), (manifest, tensor) => {
    const scores = tensor(manifest.golden.outputs.at(-1));
    scores.setFloat32(0, scores.getFloat32(0, true) + 0.25, true);
  });
  expect(await answer({ bundle: other })).toBe("self_test_failed");
});

test("schema_mismatch: a bundle that scores but has no schema", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ranklet-"));
  const file = join(folder, "bare.ranklet");
  execFileSync(binary, ["compile", join(model, "ranker.onnx"), "-o", file], { stdio: "pipe" });
  const reranker = createReranker<Candidate>({ bundle: file });
  expect((await reranker.ready).source).toBe("model");
  const ranking = reranker.session().prepare(request()).rerank();
  expect([ranking.source, ranking.reason]).toEqual(["server", "schema_mismatch"]);
  expect(ranking.items).toEqual(request().candidates);
  reranker.dispose();
  rmSync(folder, { recursive: true });
});

test("disabled: nothing is read", async () => {
  const bundlePromise = Promise.reject(new Error("not to be found unhandled"));
  expect(await answer({ enabled: false, bundle: bundlePromise })).toBe("disabled");
});

test("options that are none", async () => {
  for (const options of [null, undefined, 1, "x", { get bundle(): never { throw new Error("no"); } }]) {
    const reranker = createReranker(options as never);
    expect((await reranker.ready).reason).not.toBeNull();
    expect(reranker.session().prepare(request()).rerank().items).toEqual(request().candidates);
  }
});

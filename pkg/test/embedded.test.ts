// Engine and model in one module, as `ranklet embed` makes it: the same bits as of two files, in Node, workerd and Chromium.
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { createReranker, type RerankerOptions } from "ranklet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { executablePath, launch, load, open, site } from "./chromium.js";
import { binary, bundle, bundlePath, dist, events, request, wasm } from "./fixtures.js";

const folder = mkdtempSync(join(tmpdir(), "ranklet-embedded-"));
const at = (name: string) => join(folder, name);
const ranklet = (...args: string[]) => execFileSync(binary, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

beforeAll(() => {
  ranklet("keygen", "-o", at("keys"));
  ranklet("sign", bundlePath, "--key", at("keys.key"), "-o", at("signed.ranklet"));
  ranklet("embed", at("signed.ranklet"), "--runtime", join(dist, "ranklet.wasm"), "-o", at("model.wasm"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What is compared: bits of every number that a ranking has. */
interface Answer {
  source: string;
  reason: string | null;
  digest: string | undefined;
  rows: string[];
}

/** As text, because it is run in a page and in a worker too. */
const RANK = `async (createReranker, options, asked, acts) => {
  const reranker = createReranker(options);
  const { reason, detail, bundle } = await reranker.ready;
  if (reason) return { source: reason, reason: detail, digest: undefined, rows: [] };
  const session = reranker.session();
  const list = session.prepare(asked);
  for (const event of acts) session.observe(event);
  const ranking = list.rerank({ now: asked.now });
  const bits = (x) => [...new Uint8Array(Float64Array.of(x).buffer)].join(".");
  const rows = ranking.entries.map(({ id, score, utility, heads }) => JSON.stringify([id, bits(score), bits(utility), heads]));
  reranker.dispose();
  return { source: ranking.source, reason: ranking.reason, digest: bundle.digests.bundle, rows };
}`;

const rank = (0, eval)(RANK) as (make: typeof createReranker, options: RerankerOptions, asked: unknown, acts: unknown) => Promise<Answer>;
const signed = () => new Uint8Array(readFileSync(at("signed.ranklet")));
const model = () => new Uint8Array(readFileSync(at("model.wasm")));
const two = () => rank(createReranker, { bundle: signed() }, request(), events());

test("Node: the module's own bundle, with the bits of two files", async () => {
  const expected = await two();
  expect(expected).toMatchObject({ source: "model", reason: null, rows: { length: request().candidates.length } });
  expect(await rank(createReranker, { wasm: model() }, request(), events())).toEqual(expected);
  expect(await rank(createReranker, { wasm: at("model.wasm") }, request(), events())).toEqual(expected);
  const module = await WebAssembly.compile(model());
  for (let i = 0; i < 2; i++) expect(await rank(createReranker, { wasm: module }, request(), events())).toEqual(expected);
  // What is given goes before what is there; and it is the bundle as it was before it was signed, in all but its file's digest.
  const unsigned = await rank(createReranker, { wasm: module, bundle: bundle() }, request(), events());
  expect(unsigned.digest).not.toBe(expected.digest);
  expect(unsigned.rows).toEqual(expected.rows);
});

test("the signature holds in the module too, and one turned bit of either is refused", () => {
  expect(ranklet("verify", at("model.wasm"), "--keys", at("keys.pub"))).toContain("is what was signed");
  const bytes = model();
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(at("forged.wasm"), bytes);
  expect(() => ranklet("verify", at("forged.wasm"), "--keys", at("keys.pub"))).toThrow(/bundle_signature/);
});

test("no bundle anywhere: bundle_fetch_failed says so; a runtime that is not there comes first", async () => {
  const found = await rank(createReranker, { wasm: wasm() }, request(), []);
  expect(found).toMatchObject({ source: "bundle_fetch_failed", reason: expect.stringContaining("ranklet embed") as string });
  expect(await rank(createReranker, {}, request(), [])).toEqual(found);
  const missing = await rank(createReranker, { wasm: at("nothing.wasm") }, request(), []);
  expect(missing.source).toBe("wasm_fetch_failed");
  const forged = model();
  forged[forged.length - 1]! ^= 1;
  expect((await rank(createReranker, { wasm: forged }, request(), [])).source).toBe("bundle_corrupt");
});

test.skipIf(executablePath === undefined)("Chromium: one file is fetched", async () => {
  const [browser, host] = await Promise.all([launch(), site()]);
  try {
    host.files.set("/model.bin", model());
    const { page, noise } = await open(browser, host);
    await load(page);
    const found = await page.evaluate(`(${RANK})(ranklet.createReranker, { wasm: "/model.bin" }, ${JSON.stringify(request())}, ${JSON.stringify(events())})`);
    expect(found).toEqual(await two());
    expect(noise).toEqual([]);
    expect(host.asked).not.toContain("/ranklet.wasm");
    expect(host.asked.filter((path) => path.endsWith(".bin"))).toEqual(["/model.bin"]);
  } finally {
    await Promise.all([browser.close(), host.close()]);
  }
});

/** The worker's own process, where the package for it is installed. */
const workerd = (() => {
  try {
    const found = createRequire(import.meta.url)("workerd") as { default: string };
    return existsSync(found.default) ? found.default : undefined;
  } catch {
    return undefined;
  }
})();

/** A worker whose only wasm is `model.wasm`, made of the package's entry for workerd. */
async function worker(): Promise<string> {
  copyFileSync(join(dist, "workerd.js"), at("entry.js"));
  const source = `import { createReranker } from "./entry.js";
    const rank = ${RANK};
    export const answer = (asked, acts) => rank(createReranker, {}, asked, acts);
    export default { async fetch(request) { const { asked, acts } = await request.json(); return Response.json(await answer(asked, acts)); } };`;
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: folder },
    bundle: true,
    format: "esm",
    write: false,
    // A host that allows one file is given the model in the runtime's place.
    plugins: [{ name: "one-file", setup: (own) => own.onResolve({ filter: /\.wasm$/ }, () => ({ path: "./model.wasm", external: true })) }],
  });
  return outputFiles[0]!.text;
}

test("workerd's entry: a module that comes compiled, where nothing may be compiled", async () => {
  const scope = globalThis as Record<string, unknown>;
  scope["theModel"] = new WebAssembly.Module(model());
  const source = (await worker()).replace(/import (\w+) from "\.\/model\.wasm";/, "const $1 = globalThis.theModel;");
  writeFileSync(at("worker.mjs"), source);
  const { answer } = (await import(pathToFileURL(at("worker.mjs")).href)) as { answer: (asked: unknown, acts: unknown) => Promise<Answer> };
  const [expected, { compile }] = [await two(), WebAssembly];
  try {
    Object.assign(WebAssembly, { compile: () => Promise.reject(new Error("not in a worker")) });
    expect(await answer(request(), events())).toEqual(expected);
  } finally {
    Object.assign(WebAssembly, { compile });
    delete scope["theModel"];
  }
});

test.skipIf(workerd === undefined)("workerd itself: one wasm file, the same bits", async () => {
  writeFileSync(at("worker.js"), await worker());
  writeFileSync(at("config.capnp"), `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(name = "main", worker = (compatibilityDate = "2024-09-01", modules = [
  (name = "worker.js", esModule = embed "worker.js"), (name = "model.wasm", wasm = embed "model.wasm")]))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]);`);
  const process = spawn(workerd!, ["serve", "--control-fd=1", at("config.capnp")], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const port = await new Promise<number>((listening, failed) => {
      let said = "";
      process.stdout!.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        const found = /"event":"listen","socket":"http","port":(\d+)/.exec(said);
        if (found) listening(Number(found[1]));
      });
      process.once("exit", (code) => failed(new Error(`workerd ended with ${code}: ${said}`)));
    });
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: JSON.stringify({ asked: request(), acts: events() }) });
    expect(await response.json()).toEqual(await two());
  } finally {
    process.kill();
  }
}, 30_000);

// Every entry as tools and hosts see it: what linters of packages say, imports without a DOM, and what an import costs.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { runInNewContext } from "node:vm";
import { createReranker } from "ranklet";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { expect, test } from "vitest";
import { everywhere, exportsOf, platforms } from "../entries.mjs";
import { executablePath, launch, load, open, site } from "./chromium.js";
import { bundle, dist, root, wasm } from "./fixtures.js";

const pkg = join(root, "pkg");
const run = promisify(execFile);

test("publint finds nothing", async () => {
  const { messages, pkg: read } = await publint({ pkgDir: pkg, strict: true });
  expect(messages.map((message) => formatMessage(message, read))).toEqual([]);
}, 60_000);

test("are the types wrong: not for what can import an ES module", async () => {
  const attw = join(pkg, "node_modules/@arethetypeswrong/cli/dist/index.js");
  const { stdout } = await run(process.execPath, [attw, "--pack", pkg, "--profile", "esm-only", "--format", "json"], { maxBuffer: 2 ** 26 });
  const { analysis } = JSON.parse(stdout) as { analysis: { entrypoints: Record<string, unknown>; problems: { kind: string; resolutionKind?: string; entrypoint?: string }[] } };
  expect(Object.keys(analysis.entrypoints).sort()).toEqual(Object.keys(exportsOf()).sort());
  const met = analysis.problems.filter(({ resolutionKind }) => resolutionKind !== "node10" && resolutionKind !== "node16-cjs");
  expect(met).toEqual([]);
}, 60_000);

/** What is a module of a host that hands over a compiled wasm cannot be imported elsewhere. */
const hosted = (file: string) => /workerd|edge-light/.test(file);
const files = [
  ...platforms.flatMap(({ prefix, places }) => places.map((place) => `${prefix}${place}.js`)),
  ...everywhere.map(({ file }) => `${file}.js`),
].filter((file) => !hosted(file));

test("an edge-light entry holds no code that compiles bytes: Next refuses to build one", () => {
  const compiles = (file: string) => readFileSync(join(dist, file), "utf8").includes("WebAssembly.compile(");
  const edge = platforms.filter(({ places }) => places.includes("edge-light")).map(({ prefix }) => `${prefix}edge-light.js`);
  expect([edge.length, edge.filter(compiles)]).toEqual([2, []]);
  expect(compiles("browser.js")).toBe(true);
});

test("a module that another realm compiled is one: edge hosts hand over such", async () => {
  const module = new (runInNewContext("WebAssembly.Module") as typeof WebAssembly.Module)(wasm());
  expect(module instanceof WebAssembly.Module).toBe(false);
  const reranker = createReranker({ bundle: bundle(), wasm: module });
  expect(await reranker.ready).toMatchObject({ source: "model", detail: "" });
  reranker.dispose();
});

test.each(files)("%s is imported where there is no DOM, fetches nothing, and asks for neither time nor chance", async (file) => {
  const script = `
    const real = Object.keys(globalThis);
    for (const name of ["window", "document", "self", "navigator", "location"]) {
      if (name in globalThis && name !== "navigator") throw new Error(name + " is here");
    }
    const forbid = (of, name) => { of[name] = () => { throw new Error(name + " at import"); }; };
    forbid(globalThis, "fetch");
    forbid(Date, "now");
    forbid(Math, "random");
    forbid(performance, "now");
    forbid(crypto, "getRandomValues");
    for (const name of ["compile", "instantiate", "compileStreaming", "Module", "Instance"]) forbid(WebAssembly, name);
    for (const name of ["log", "info", "warn", "error", "debug"]) forbid(console, name);
    const names = Object.keys(await import(process.argv[1]));
    if (names.length === 0) throw new Error("it exports nothing");
    const more = Object.keys(globalThis).filter((name) => !real.includes(name));
    if (more.length > 0) throw new Error("it adds globals: " + more);
    process.stdout.write(names.join());
  `;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script, join(dist, file)]);
  expect(stdout).toMatch(/\w/);
});

test.skipIf(executablePath === undefined)("a page that imports and does nothing fetches the one module", async () => {
  const [browser, host] = await Promise.all([launch(), site()]);
  try {
    const { page, noise } = await open(browser, host);
    await load(page);
    await page.waitForTimeout(200);
    expect(host.asked.filter((path) => path !== "/")).toEqual(["/browser.js"]);
    expect(noise).toEqual([]);
  } finally {
    await browser.close();
    await host.close();
  }
});

test.skipIf(executablePath === undefined)("subresource integrity: a response of the caller's own fetch, checked by the browser", async () => {
  const [browser, host] = await Promise.all([launch(), site()]);
  const sri = (bytes: Uint8Array) => `sha384-${createHash("sha384").update(bytes).digest("base64")}`;
  const right = { bundle: sri(bundle()), wasm: sri(readFileSync(join(dist, "ranklet.wasm"))) };
  try {
    const { page } = await open(browser, host);
    await load(page);
    const reason = (integrity: typeof right) =>
      page.evaluate(async (given) => {
        const fetched = (name: string, integrity: string) => fetch(name, { integrity });
        const reranker = ranklet.createReranker({ bundle: fetched("/ads-recs.ranklet", given.bundle), wasm: fetched("/ranklet.wasm", given.wasm) });
        return (await reranker.ready).reason;
      }, integrity);
    expect(await reason(right)).toBeNull();
    expect(await reason({ ...right, bundle: right.wasm })).toBe("bundle_fetch_failed");
    expect(await reason({ ...right, wasm: right.bundle })).toBe("wasm_fetch_failed");
  } finally {
    await browser.close();
    await host.close();
  }
});

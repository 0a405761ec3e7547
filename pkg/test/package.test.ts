// The package as it is released.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { everywhere, exportsOf, internal, platforms, typed } from "../entries.mjs";
import { bundle, dist, request, root } from "./fixtures.js";

const pkg = join(root, "pkg");
const manifest = JSON.parse(readFileSync(join(pkg, "package.json"), "utf8")) as Record<string, unknown> & {
  exports: Record<string, Record<string, string> | string>;
  bin: { ranklet: string };
};

test("npm pack holds dist and what every package holds", () => {
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: pkg, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })) as [
    { files: { path: string }[] },
  ];
  const files = packed.files.map(({ path }) => path);
  expect(files.filter((path) => !/^(dist\/|schema\/|package\.json$|README|LICENSE)/.test(path))).toEqual([]);
  expect(files).toContain(manifest.bin.ranklet);
  for (const path of Object.values(manifest.exports).flatMap((entry) => (typeof entry === "string" ? entry : Object.values(entry)))) {
    expect(files).toContain(path.replace("./", ""));
  }
  expect(files.filter((path) => /\.(onnx|ranklet)$/.test(path))).toEqual([]);
});

test("package.json exports what entries.mjs says, in the same order", () => {
  expect(JSON.stringify(manifest.exports, null, 1)).toBe(JSON.stringify(exportsOf(), null, 1));
  // What a bundler may not drop though nothing of it is used: what defines an element, and what is a worker's whole script.
  expect(manifest["sideEffects"]).toEqual(["./dist/element.js", "./dist/worker-host-browser.js", "./dist/worker-host-node.js"]);
});

test("no dependency, and no script that runs by itself", () => {
  expect(manifest["dependencies"]).toBeUndefined();
  expect(Object.keys(manifest["scripts"] as object).filter((name) => /install|pack|prepare|publish/.test(name))).toEqual([]);
});

test("the lock file names no registry", () => {
  expect(readFileSync(join(pkg, "package-lock.json"), "utf8")).not.toMatch(/https?:\/\/(?!opencollective|github|tidelift|paulmillr|www\.patreon|feross)[^"]*\.tgz/);
});

/** Budgets, brotli bytes, of the minified files but the two that hold a wasm or load one of megabytes. */
const SMALL: Record<string, number> = {
  "browser.js": 12_000,
  "testing-browser.js": 12_800,
  "scorer-browser.js": 4_650,
  "worker-browser.js": 8_000,
  "worker-host-browser.js": 14_000,
};

const minified = [...platforms.map(({ prefix }) => `${prefix}browser.js`), ...everywhere.map(({ file }) => `${file}.js`)];

test.each(minified)("%s is small, names no console and builds no code", (entry) => {
  const source = readFileSync(join(dist, entry));
  const small = brotliCompressSync(source, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 } });
  if (entry !== "inline.js") expect(small.length).toBeLessThan(SMALL[entry] ?? 5_000);
  expect(source.toString()).not.toMatch(/console\.|\beval\(|new Function|Blob\(/);
  // A hint counts at the very beginning; a minifier takes it for a comment.
  expect(source.toString().startsWith("//# allFunctionsCalledOnLoad\n")).toBe(entry === "scorer-browser.js");
  // Of a file beside it: that is what the entry is for.
  expect(/new Worker/.test(source.toString())).toBe(entry === "worker-browser.js");
  const map = JSON.parse(readFileSync(join(dist, `${entry}.map`), "utf8")) as { sources: string[]; sourcesContent: (string | null)[] };
  expect(source.toString().trimEnd().endsWith(`//# sourceMappingURL=${entry}.map`)).toBe(true);
  expect(map.sources.length).toBeGreaterThan(0);
  expect(map.sourcesContent.filter((text) => !text)).toEqual([]);
  expect(map.sources.filter((path) => /^(\/|file:|[a-z]:)/i.test(path))).toEqual([]);
});

test.each(["ranklet.wasm", "scorer.wasm", "compiler.wasm"])("%s needs nothing that Node 20 lacks, and is exported", (name) => {
  expect(WebAssembly.validate(readFileSync(join(dist, name)))).toBe(true);
  expect(import.meta.resolve(`ranklet/${name}`).endsWith(`/pkg/dist/${name}`)).toBe(true);
});

/** An entry for workerd with its module compiled beforehand, as the host hands it over. */
async function forWorkerd<Entry>(entry: string, runtime: string): Promise<Entry> {
  const { outputFiles } = await build({
    entryPoints: [join(dist, entry)],
    bundle: true,
    format: "esm",
    write: false,
    plugins: [
      {
        // What workerd does with an import of a wasm file.
        name: "compiled-wasm",
        setup(own) {
          own.onResolve({ filter: /\.wasm$/ }, ({ path }) => ({ path, namespace: "wasm" }));
          own.onLoad({ filter: /.*/, namespace: "wasm" }, () => ({ contents: "export default globalThis.compiledForTheWorker" }));
        },
      },
    ],
  });
  const scope = globalThis as Record<string, unknown>;
  scope["compiledForTheWorker"] = new WebAssembly.Module(readFileSync(join(dist, runtime)));
  try {
    return (await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0]!.contents).toString("base64")}`)) as Entry;
  } finally {
    delete scope["compiledForTheWorker"];
  }
}

/** Runs something where nothing may be compiled or timed. */
async function inAWorker<T>(run: () => Promise<T>): Promise<T> {
  const { compile } = WebAssembly;
  const timer = globalThis.setTimeout;
  const forbidden = () => {
    throw new Error("not in a worker's global scope");
  };
  try {
    Object.assign(WebAssembly, { compile: forbidden });
    Object.assign(globalThis, { setTimeout: forbidden });
    return await run();
  } finally {
    Object.assign(WebAssembly, { compile });
    Object.assign(globalThis, { setTimeout: timer });
  }
}

test("workerd: the module comes compiled, and nothing is compiled or timed there", async () => {
  const { createReranker } = await forWorkerd<typeof import("ranklet")>("workerd.js", "ranklet.wasm");
  await inAWorker(async () => {
    const reranker = createReranker({ bundle: bundle() });
    expect((await reranker.ready).reason).toBeNull();
    const asked = request();
    expect(reranker.session().prepare(asked).rerank({ now: asked.now }).source).toBe("model");
  });
});

test("workerd: the same holds for the scorer and the compiler", async () => {
  const { createScorer } = await forWorkerd<typeof import("ranklet/scorer")>("scorer-workerd.js", "scorer.wasm");
  const { compile } = await forWorkerd<typeof import("ranklet/compile")>("compile-workerd.js", "compiler.wasm");
  await inAWorker(async () => {
    const compiled = await compile(new Uint8Array(readFileSync(join(root, "tests/fixtures/mlp.onnx"))));
    expect((await createScorer({ bundle: compiled })).inputs.length).toBeGreaterThan(0);
  });
});

const typesOf = (file: string) => readFileSync(join(dist, "types", file), "utf8");

test("the public types are the ones that were agreed on", async () => {
  // Each entry's, and what they are made of.
  const files = new Set(typed.map((file) => `${file}.d.ts`));
  for (const file of files) {
    for (const [, name] of typesOf(file).matchAll(/(?:from|import\() ?"\.\/([\w-]+)\.js"/g)) files.add(`${name}.d.ts`);
  }
  const text = [...files].sort().map((file) => `// ${file.replace(".d.ts", "")}\n${typesOf(file)}`).join("\n");
  await expect(text).toMatchFileSnapshot("public-types.snapshot.txt");
});

test("what the build renames is nobody's outside", () => {
  // What callers see, what the engine sees, and what stands in records and snapshots; `Held` and `Ranked` are the face's own.
  const callers = ["types", "reranker", "session", "list", "ranking", "scorer", "reasons", "record", "testing", "engine", "delivery"];
  const text = callers.map((file) => typesOf(`${file}.d.ts`)).join("\n");
  const declared = text.replace(/\/\*[^]*?\*\/|"[^"]*"|export interface (Held|Ranked) \{[^}]*\}/g, "").match(/[\w$]+/g)!;
  expect(declared).toContain("onRecord");
  expect(internal.split(" ").filter((name) => declared.includes(name))).toEqual([]);
});

test("every reason that can occur has a line in the README", () => {
  const later = ["drift", "holdout"];
  const types = readFileSync(join(dist, "types/reasons.d.ts"), "utf8");
  const known = [...types.slice(types.indexOf("KnownReason"), types.indexOf(";")).matchAll(/"(\w+)"/g)].map(([, reason]) => reason!);
  expect(known.length).toBeGreaterThan(20);
  const readme = readFileSync(join(pkg, "README.md"), "utf8").split("## Reasons")[1]!;
  const rows = [...readme.matchAll(/^\| `(\w+)` \|/gm)].map(([, reason]) => reason!);
  expect(rows.sort()).toEqual(known.filter((reason) => !later.includes(reason)).sort());
});

test("the types fit a caller's compiler, however it finds modules and whatever library it has", () => {
  const tsc = join(pkg, "node_modules/typescript/bin/tsc");
  const flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", "--types", "", "--ignoreConfig"];
  for (const how of [["--module", "nodenext"], ["--module", "esnext", "--moduleResolution", "bundler"]]) {
    execFileSync(process.execPath, [tsc, ...flags, ...how, join(pkg, "test/caller.ts")], { stdio: "pipe" });
  }
});

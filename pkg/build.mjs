// Bundles the face with the generated glue into dist/, beside the runtimes that `cargo xtask build` puts there.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, deflateRawSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";
import { everywhere, internal, platforms, typed } from "./entries.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

/** Whether a runtime is there; the compiler comes only when asked for. */
const built = (runtime) => runtime === undefined || existsSync(join(dist, `${runtime}.js`));

if (!built("ranklet")) {
  console.error("dist/ranklet.js is not there: run `cargo xtask build`, which makes it and then runs this");
  process.exit(1);
}

/** What loads into a page is minified; its errors are read through the source map. */
const PLACES = {
  browser: { minify: true },
  node: { platform: "node" },
  workerd: { minify: true },
  // Next refuses to build what could compile there, even where it never does.
  "edge-light": { minify: true, define: { "WebAssembly.compile": "compileNothing" }, inject: [join(here, "src/edge-light-compile.ts")] },
};

/**
 * Chromium's explicit compile hint, which others pass over: all functions are compiled while the file is read, on another thread,
 * and not one by one by the first score's.
 */
const EAGER = "//# allFunctionsCalledOnLoad";

/** The wasm as a text in the module: deflated, since no host that this entry is for would compress it on its way. */
const embedded = {
  name: "embedded-wasm",
  setup(own) {
    own.onResolve({ filter: /^#wasm$/ }, () => ({ path: join(dist, "ranklet.wasm"), namespace: "embedded" }));
    own.onLoad({ filter: /.*/, namespace: "embedded" }, ({ path }) => ({
      contents: `export default "${deflateRawSync(readFileSync(path), { level: 9 }).toString("base64")}"`,
    }));
  },
};

async function bundle(file, { runtime, glue, embeds, external = [], directive, eager }, options) {
  const first = directive ? `"${directive}";` : eager && EAGER;
  const outfile = join(dist, `${file}.js`);
  await build({
    bundle: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    logLevel: "warning",
    sourcemap: "linked",
    mangleProps: new RegExp(`^(?:${internal.replaceAll(" ", "|")})$`),
    ...(glue && { alias: { [glue]: join(dist, `${runtime}.js`) } }),
    external: ["*.wasm", "*.wasm?module", ...external],
    plugins: embeds ? [embedded] : [],
    entryPoints: [join(here, `src/${file}.ts`)],
    outfile,
    ...(first && { banner: { js: first } }),
    ...options,
    define: { ...options.define, SCORES_ALONE: `${runtime === "scorer"}` },
  });
  if (options.minify) await smaller(outfile, first);
}

/** terser after esbuild: 4 % of brotli less than esbuild alone, and than terser alone. */
async function smaller(outfile, first) {
  const map = `${outfile}.map`;
  const { code, map: mapped } = await minify(readFileSync(outfile, "utf8"), {
    module: true,
    ecma: 2022,
    ...(first && { format: { preamble: first } }),
    compress: { passes: 3, pure_getters: true, unsafe_arrows: true, hoist_funs: true, inline: 1 },
    sourceMap: { content: readFileSync(map, "utf8"), url: `${outfile.slice(dist.length + 1)}.map`, includeSources: true },
  });
  writeFileSync(outfile, code);
  writeFileSync(map, mapped);
}

/** An entry as it is built for a place: what it stands upon is not put into it again. */
const beside = (entry, place) => (entry.upon?.includes(place) ? { ...entry, external: [...(entry.external ?? []), `./${place}.js`] } : entry);

const present = platforms.filter(({ runtime }) => built(runtime));
await Promise.all([
  ...present.flatMap((entry) => entry.places.map((place) => bundle(entry.prefix + place, beside(entry, place), PLACES[place]))),
  ...everywhere.map((entry) => bundle(entry.file, entry, { minify: true })),
  ...(built("compiler") ? [bundle("cli", { runtime: "compiler", glue: "#compiler" }, PLACES.node)] : []),
]);
if (built("compiler")) chmodSync(join(dist, "cli.js"), 0o755);

const types = join(dist, "types");
rmSync(types, { recursive: true, force: true });
const project = join(here, "tsconfig.entries.json");
writeFileSync(project, JSON.stringify({ extends: "./tsconfig.build.json", files: [...typed, "modules.d"].map((file) => `src/${file}.ts`) }));
try {
  const tsc = join(dirname(fileURLToPath(import.meta.resolve("typescript/package.json"))), "bin", "tsc");
  execFileSync(process.execPath, [tsc, "-p", project], { stdio: ["ignore", 2, 2] });
} finally {
  rmSync(project);
}

for (const file of [...present.map(({ prefix }) => `${prefix}browser`), ...everywhere.map(({ file }) => file)]) {
  const brotli = brotliCompressSync(readFileSync(join(dist, `${file}.js`)), {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 },
  });
  console.error(`dist/${file}.js: ${brotli.length} bytes brotli`);
}

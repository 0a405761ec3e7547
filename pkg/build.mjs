// Bundles the face with the generated glue into dist/, beside the runtime that `cargo xtask build` puts there.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const glue = join(dist, "engine.js");

if (!existsSync(glue)) {
  console.error("dist/engine.js is not there: run `cargo xtask build`, which makes it and then runs this");
  process.exit(1);
}

const common = {
  bundle: true,
  format: "esm",
  target: "es2022",
  alias: { "#engine": glue },
  legalComments: "none",
  logLevel: "warning",
};

await Promise.all([
  // What a page loads: private names of classes and the like are nobody's business, so all is minified.
  build({ ...common, entryPoints: [join(here, "src/browser.ts")], outfile: join(dist, "browser.js"), minify: true }),
  build({ ...common, entryPoints: [join(here, "src/node.ts")], outfile: join(dist, "node.js"), platform: "node" }),
  build({
    ...common,
    entryPoints: [join(here, "src/workerd.ts")],
    outfile: join(dist, "workerd.js"),
    minify: true,
    external: ["./ranklet.wasm"],
  }),
]);

const types = join(dist, "types");
rmSync(types, { recursive: true, force: true });
const tsc = join(dirname(fileURLToPath(import.meta.resolve("typescript/package.json"))), "bin", "tsc");
execFileSync(process.execPath, [tsc, "-p", join(here, "tsconfig.build.json")], { stdio: ["ignore", 2, 2] });

const brotli = brotliCompressSync(readFileSync(join(dist, "browser.js")), {
  params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 },
});
console.error(`dist/browser.js: ${brotli.length} bytes brotli`);

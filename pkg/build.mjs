// Bundles the face with the generated glue into dist/, beside the runtimes that `cargo xtask build` puts there.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

/** Each runtime with the entries that load it; `glue` is the name under which they import its glue. */
const runtimes = [
  { name: "ranklet", glue: "#engine", prefix: "" },
  // The same runtime under a test's hands; a worker's tests run in Node.
  { name: "ranklet", glue: "#engine", prefix: "testing-", places: ["browser", "node"] },
  { name: "scorer", glue: "#engine", prefix: "scorer-" },
  { name: "compiler", glue: "#compiler", prefix: "compile-", tools: ["cli"] },
].filter(({ name }) => existsSync(join(dist, `${name}.js`)));

if (!runtimes.some(({ name }) => name === "ranklet")) {
  console.error("dist/ranklet.js is not there: run `cargo xtask build`, which makes it and then runs this");
  process.exit(1);
}

const common = { bundle: true, format: "esm", target: "es2022", legalComments: "none", logLevel: "warning" };

await Promise.all(
  runtimes.flatMap(({ name, glue, prefix, places = ["browser", "node", "workerd"], tools = [] }) => {
    const one = (entry, options) =>
      build({
        ...common,
        alias: { [glue]: join(dist, `${name}.js`) },
        entryPoints: [join(here, `src/${entry}.ts`)],
        outfile: join(dist, `${entry}.js`),
        ...options,
      });
    const platforms = {
      // What a page loads: private names of classes and the like are nobody's business, so all is minified.
      browser: { minify: true },
      node: { platform: "node" },
      workerd: { minify: true, external: [`./${name}.wasm`] },
    };
    return [
      ...places.map((place) => one(`${prefix}${place}`, platforms[place])),
      ...tools.map((entry) => one(entry, { platform: "node" })),
    ];
  }),
);
if (existsSync(join(dist, "cli.js"))) chmodSync(join(dist, "cli.js"), 0o755);

// What stands upon a platform's entry takes it from beside itself, so that a page has one of it.
const upon = [
  ...["browser", "node", "workerd"].map((place) => ({
    entry: `react-${place}`,
    options: { external: ["react", `./${place}.js`], minify: place !== "node", banner: { js: '"use client";' } },
  })),
  { entry: "element", options: { external: ["./browser.js"], minify: true } },
  { entry: "worker-browser", options: { minify: true } },
  { entry: "worker-node", options: { platform: "node" } },
  { entry: "worker-host", options: { minify: true } },
  { entry: "worker-host-node", options: { external: ["./node.js"], platform: "node" } },
];
const engine = { "#engine": join(dist, "ranklet.js") };
await Promise.all(
  upon.map(({ entry, options }) =>
    build({ ...common, alias: engine, entryPoints: [join(here, `src/${entry}.ts`)], outfile: join(dist, `${entry}.js`), ...options }),
  ),
);

const types = join(dist, "types");
rmSync(types, { recursive: true, force: true });
const tsc = join(dirname(fileURLToPath(import.meta.resolve("typescript/package.json"))), "bin", "tsc");
execFileSync(process.execPath, [tsc, "-p", join(here, "tsconfig.build.json")], { stdio: ["ignore", 2, 2] });

for (const name of [...runtimes.map(({ prefix }) => `${prefix}browser`), "react-browser", "element", "worker-browser", "worker-host"]) {
  const brotli = brotliCompressSync(readFileSync(join(dist, `${name}.js`)), {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 },
  });
  console.error(`dist/${name}.js: ${brotli.length} bytes brotli`);
}

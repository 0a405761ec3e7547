// Every entry of the package: what the build makes, what package.json exports, and what the tests look at.

/** Platforms by their condition in `exports`, the narrower first, with the file that each takes. */
const CONDITIONS = [
  ["workerd", "workerd"],
  ["edge-light", "edge-light"],
  // A worker of a page, or of a host that names itself no better.
  ["worker", "browser"],
  ["node", "node"],
  ["browser", "browser"],
  ["default", "browser"],
];

/**
 * `prefix`: of the files, one for each of `places`: `src/PREFIXPLACE.ts`, `dist/PREFIXPLACE.js`. `runtime`: the wasm, whose glue
 * the sources import as `glue`; none where there is no engine in it. `upon`: places whose own entry (`PLACE.js`) it takes from beside
 * itself, so that a page has one of it. `directive`: the file's first statement. `eager`: whoever loads it calls nearly all that is in it.
 */
export const platforms = [
  { name: ".", prefix: "", runtime: "ranklet", glue: "#engine", places: ["browser", "node", "workerd", "edge-light"] },
  { name: "./scorer", prefix: "scorer-", runtime: "scorer", glue: "#engine", places: ["browser", "node", "workerd", "edge-light"], eager: true },
  // The same runtime under a test's hands; a worker's tests run in Node.
  { name: "./testing", prefix: "testing-", runtime: "ranklet", glue: "#engine", places: ["browser", "node"] },
  { name: "./compile", prefix: "compile-", runtime: "compiler", glue: "#compiler", places: ["browser", "node", "workerd"] },
  {
    name: "./react", prefix: "react-", places: ["browser", "node", "workerd"], upon: ["browser", "node", "workerd"],
    external: ["react"], directive: "use client",
  },
  { name: "./worker", prefix: "worker-", places: ["browser", "node"] },
  // A worker of a page loads one file; a thread of Node's finds both beside each other.
  { name: "./worker-host", prefix: "worker-host-", runtime: "ranklet", glue: "#engine", places: ["browser", "node"], upon: ["node"] },
];

/**
 * One file for every platform: `src/FILE.ts`, `dist/FILE.js`, exported as `./FILE`. `external`: what the importer's project
 * brings. `runtime` and `glue` where an engine is in it, `embeds` where the wasm is too.
 */
export const everywhere = [
  { file: "records" },
  { file: "delivery" },
  { file: "storage" },
  { file: "element", external: ["./browser.js"] },
  { file: "describe" },
  { file: "inline", runtime: "ranklet", glue: "#engine", embeds: true },
];

/** Files that are exported as they are. */
const FILES = {
  "./ranklet.wasm": { types: "./dist/types/wasm-module.d.ts", default: "./dist/ranklet.wasm" },
  "./scorer.wasm": { types: "./dist/types/wasm-module.d.ts", default: "./dist/scorer.wasm" },
  "./compiler.wasm": { types: "./dist/types/wasm-module.d.ts", default: "./dist/compiler.wasm" },
  "./record.schema.json": "./schema/record.json",
  "./package.json": "./package.json",
};

const taken = (file, types = file) => ({ types: `./dist/types/${types}.d.ts`, default: `./dist/${file}.js` });

/** What stands in package.json. */
export function exportsOf() {
  const all = {};
  for (const { name, prefix, places } of platforms) {
    const types = `${prefix}browser`;
    all[name] = { types: taken(types).types };
    for (const [condition, place] of CONDITIONS) {
      if (places.includes(place)) all[name][condition] = taken(prefix + place).default;
    }
    for (const place of places) all[`${name}/${place}`] = taken(prefix + place, types);
  }
  for (const { file } of everywhere) all[`./${file}`] = taken(file);
  return { ...all, ...FILES };
}

/** Sources whose types are public, without their ending. */
export const typed = [...platforms.map(({ prefix }) => `${prefix}browser`), ...everywhere.map(({ file }) => file), "wasm-module"];

/**
 * Properties that no caller, no engine and no other entry of the package sees: the build gives them names of a letter or two, on
 * every platform alike, so that every test runs with them. That none is public is tested.
 */
export const internal =
  "__wbg_ptr adopt attach belongs broken changed closed compiled complete decided disown encoded handle holds identity learn " +
  "mark mayCome names observed orphan plan ranked reader recorder records release rowOf running " +
  "supersede tell unwatch vectors watch";

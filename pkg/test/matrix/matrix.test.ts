// The package as somebody installs it: each cell takes the packed tarball and must give a ranking of the model with the native bits.
// By default a cell a kind of host; RANKLET_FULL=1 is the whole of it.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { App, whole, type Answer } from "./app.js";
import { answerIn, chromium, firefox, host, webkit, type Browser } from "./browsers.js";
import { answerOfNextEdge, withEsbuild, withNext, withRollup, withVite, withWebpack, type Bundle } from "./bundlers.js";
import { tools } from "./tools.js";
import { answerOfWasmtime, missing as wasmtimeMissing } from "./wasmtime.js";
import { answerOfWorkerd } from "./workerd.js";

const MINUTES = 60_000;
let app: App;
let native: string[];

beforeAll(() => {
  app = new App().install();
  native = app.native();
}, 2 * MINUTES);

afterAll(() => app && rmSync(app.folder, { recursive: true, force: true, maxRetries: 3 }));

function expectNative({ source, reason, detail, lines }: Answer): void {
  expect({ source, reason, detail }).toEqual({ source: "model", reason: null, detail: "" });
  expect(lines).toEqual(native);
}

/** A cell, or its name and what it would take, among those skipped. */
function cell(name: string, missing: string | undefined, run: () => Promise<Answer>): void {
  if (missing === undefined) test(name, async () => expectNative(await run()), 5 * MINUTES);
  else {
    test.skip(name);
    // `cargo xtask test` names it in its summary.
    process.stdout.write(`not here: ${name}: run \`${missing}\`\n`);
  }
}

test("what is compared is worth it", () => {
  expect(native.length).toBeGreaterThan(10);
  expect(new Set(native.map((line) => line.split(" ")[1])).size).toBeGreaterThan(5);
  const ids = (lines: readonly string[]) => lines.map((line) => line.split(" ")[0]!);
  expect(ids(native)).not.toEqual(app.asked.request.candidates.map(({ id }) => id));
  expect([...ids(native)].sort()).toEqual(app.asked.request.candidates.map(({ id }) => id).sort());
});

const PROGRAM = `
  const asked = JSON.parse(await readFile("case.json", "utf8"));
  console.log(JSON.stringify(await rank(createReranker, "ads-recs.ranklet", asked)));
`;

const ESM = `import { readFile } from "node:fs/promises";\nimport { createReranker } from "ranklet";\nimport { rank } from "./cell.mjs";\n${PROGRAM}`;

cell("Node, ES modules", undefined, async () => {
  app.write("esm.mjs", ESM);
  return JSON.parse(await app.run(process.execPath, ["esm.mjs"])) as Answer;
});

cell("Node, CommonJS by import()", undefined, async () => {
  app.write("common.cjs", `
    const { readFile } = require("node:fs/promises");
    Promise.all([import("ranklet"), import("./cell.mjs")]).then(async ([{ createReranker }, { rank }]) => {${PROGRAM}});
  `);
  return JSON.parse(await app.run(process.execPath, ["common.cjs"])) as Answer;
});

cell("workerd", undefined, () => answerOfWorkerd(app));

cell("Wasmtime", wasmtimeMissing, () => {
  app.write("esm.mjs", ESM);
  return answerOfWasmtime(app, "esm.mjs");
});

/** A page of one folder in one browser. */
async function page(browser: Browser, folder: string, index?: string): Promise<Answer> {
  if (index !== undefined) app.write(`${folder}/index.html`, `<!doctype html><meta charset=utf-8><link rel=icon href=data:,>${index}`);
  return answerIn(browser, await host(app, folder));
}

const bundled = (name: string, bundle: Bundle) => cell(`${name}, Chromium`, chromium.missing, async () => page(chromium, await bundle(app)));

const plain = (entry: string) => `<script type=module>
  import { createReranker } from "/node_modules/ranklet/dist/${entry}.js";
  import { report } from "/cell.mjs";
  report(createReranker);
</script>`;

bundled("esbuild", withEsbuild);
cell("a plain module script, Chromium", chromium.missing, () => page(chromium, "plain", plain("browser")));

if (whole) {
  bundled("Vite", withVite);
  bundled("webpack", withWebpack);
  bundled("Rollup", withRollup);
  bundled("Next", withNext);
  cell("Next, edge runtime (edge-light)", undefined, () => answerOfNextEdge(app));

  cell("ranklet/inline, Chromium", chromium.missing, () => page(chromium, "inline", plain("inline")));
  cell("ranklet/inline, Node", undefined, async () => {
    app.write("inline.mjs", `
      import { readFile } from "node:fs/promises";
      import { createReranker } from "ranklet/inline";
      import { rank } from "./cell.mjs";
      const asked = JSON.parse(await readFile("case.json", "utf8"));
      console.log(JSON.stringify(await rank(createReranker, readFile("ads-recs.ranklet"), asked)));
    `);
    return JSON.parse(await app.run(process.execPath, ["inline.mjs"])) as Answer;
  });

  for (const browser of [chromium, firefox, webkit]) {
    if (browser !== chromium) cell(`a plain module script, ${browser.name}`, browser.missing, () => page(browser, "plain", plain("browser")));
    cell(`a Web Worker, ${browser.name}`, browser.missing, () => {
      app.write("worker-page/worker.mjs", plain("browser").replace(/<\/?script.*?>/g, ""));
      return page(browser, "worker-page", `<script type=module>new Worker("/worker.mjs", { type: "module" });</script>`);
    });
  }

  // Firefox and WebKitGTK take no module as a service worker, or none without a profile that lasts.
  cell("a service worker, Chromium", chromium.missing, () => {
    app.write("service/sw.mjs", `
      import { createReranker } from "/node_modules/ranklet/dist/browser.js";
      import { report } from "/cell.mjs";
      addEventListener("activate", (event) => event.waitUntil(report(createReranker)));
    `);
    return page(chromium, "service", `<script type=module>navigator.serviceWorker.register("/sw.mjs", { type: "module" });</script>`);
  });

  cell("Deno", undefined, async () => {
    const deno = join(tools(), "node_modules/deno/deno");
    const program = existsSync(deno) ? deno : join(tools(), "node_modules/.bin/deno");
    return JSON.parse(await app.run(program, ["run", "-A", "--node-modules-dir=manual", "--no-lock", "esm.mjs"], { DENO_NO_UPDATE_CHECK: "1" })) as Answer;
  });
}

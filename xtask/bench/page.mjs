// The same measurement in a page of Chromium: ranklet's browser build beside onnxruntime-web, both on the page's thread.
import { spawnSync } from "node:child_process";
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { RANKLET, WEB } from "./engines.mjs";
import { hasIntegers } from "./folder.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../..");

/** What the page may load, by the first part of the address. */
const places = (folder) => ({
  bench: here,
  dist: join(root, "pkg/dist"),
  web: join(here, "node_modules/onnxruntime-web/dist"),
  models: folder,
});

const TYPES = { ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];

/** Chromium's path, or nothing where there is none. */
export function chromiumPath() {
  const named = process.env.CHROMIUM_PATH;
  if (named) return named;
  const found = spawnSync("sh", ["-c", "command -v chromium || command -v chromium-browser || command -v google-chrome"]);
  return String(found.stdout).trim() || undefined;
}

/**
 * Serves the folder, the package and these scripts, and runs `work`, which is given a function that opens a page in a
 * browser of its own: `{ page, version, close }`.
 */
export async function inChromium(executablePath, folder, work) {
  // The package's tests have it already.
  const { chromium } = createRequire(join(root, "pkg/package.json"))("playwright-core");
  const server = await serve(places(folder));
  try {
    return await work(async () => {
      const browser = await chromium.launch({ executablePath, args: FLAGS });
      const page = await browser.newPage();
      await page.goto(server.url);
      return { page, version: browser.version(), close: () => browser.close() };
    });
  } finally {
    server.close();
  }
}

/** Measures every model: `{ version, models: [{ ...model, cold, lists, prepared, integers }] }`. A cold start has a browser of its own. */
export function measurePage(executablePath, folder, models, { effort, coldStarts, say }) {
  return inChromium(executablePath, folder, async (fresh) => {
    const inBrowser = async (what, model, options) => {
      const { page, version, close } = await fresh();
      try {
        const result = await page.evaluate(
          async ([what, model, options]) => (await import("/bench/in-page.mjs"))[what](model, options),
          [what, model, options],
        );
        return { result, version };
      } finally {
        await close();
      }
    };
    const measured = [];
    let version;
    for (const model of models) {
      const engines = [RANKLET, WEB].filter((name) => !model.absent[name]);
      const taken = Object.fromEntries(engines.map((name) => [name, []]));
      for (let i = 0; i < coldStarts; i++) {
        for (const engine of engines) taken[engine].push((await inBrowser("cold", model, engine)).result);
      }
      const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
      const cold = Object.fromEntries(Object.entries(taken).map(([engine, ms]) => [engine, { ms: middle(ms) }]));
      const { result, version: found } = await inBrowser("lists", model, { effort, integers: hasIntegers(model) });
      version = found;
      say(`${model.title}, Chromium, cold start: ${Object.entries(cold).map(([name, { ms }]) => `${name} ${ms.toFixed(1)}`).join(", ")} ms`);
      measured.push({ ...model, ...result, cold, absent: { ...model.absent, ...result.absent } });
    }
    return { version, models: measured };
  });
}

/** Isolated from other origins, which gives the page's clock 5 us steps instead of 100. */
async function serve(folders) {
  const server = createServer((request, response) => {
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    const path = normalize(new URL(request.url, "http://127.0.0.1").pathname);
    const [, place, ...rest] = path.split("/");
    if (path === "/") return void response.setHeader("content-type", "text/html").end("<!doctype html><link rel=icon href=data:,>");
    if (!(place in folders)) return void response.writeHead(404).end();
    response.setHeader("content-type", TYPES[extname(path)] ?? "application/octet-stream");
    const stream = createReadStream(join(folders[place], ...rest));
    stream.on("error", () => response.writeHead(404).end());
    stream.pipe(response);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

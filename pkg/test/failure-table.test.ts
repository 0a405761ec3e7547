// The failure table, cell by cell, in Node, in Chromium and in workerd: see failures/cells.ts.
import { execFile } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type { Miniflare } from "miniflare";
import type { Browser } from "playwright-core";
import { createReranker } from "ranklet";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { executablePath, launch, open, site, type Site } from "./chromium.js";
import { cells, run, type Cell } from "./failures/cells.js";
import { ELSEWHERE, failuresDocument } from "./failures/document.js";
import { MODULES, failureServer, file } from "./failures/files.js";
import { remote, type Runtime } from "./failures/kit.js";
import { bundled } from "./failures/script.js";
import { bundlePath, dist, request } from "./fixtures.js";
import type { Served } from "./server.js";

let server: Served;
/** The cells as one module, for places other than this. */
let made: Awaited<ReturnType<typeof bundled>>;

beforeAll(async () => {
  server = await failureServer();
  made = await bundled(`export { cells, run } from "./cells.js"; export { remote } from "./kit.js";`);
});

afterAll(async () => {
  await server.close();
  made.remove();
});

test("docs/failures.md says what is tested; vitest -u writes it", async () => {
  await expect(failuresDocument()).toMatchFileSnapshot("../../docs/failures.md");
});

test("every reason has a cell", () => {
  const types = readFileSync(join(dist, "types/reasons.d.ts"), "utf8");
  const known = [...types.slice(types.indexOf("KnownReason"), types.indexOf(";")).matchAll(/"(\w+)"/g)].map(([, reason]) => reason!);
  expect(known.length).toBeGreaterThan(20);
  const provoked = new Set(cells.map(({ reason }) => reason).filter((reason) => reason !== null));
  expect([...provoked, ...Object.keys(ELSEWHERE)].sort()).toEqual(known.sort());
});

const of = (runtime: Runtime) =>
  cells.map((cell, at) => ({ cell, at, name: `${cell.reason ?? "model"}: ${cell.how}` })).filter(({ cell }) => cell.runtimes.includes(runtime));

describe("Node", () => {
  const LEVELS = ["log", "info", "warn", "error", "debug", "trace"] as const;

  afterEach(() => vi.restoreAllMocks());

  // Vitest fails a run in which a rejection is left unhandled.
  test.each(of("node").filter(({ cell }) => !cell.place))("$name", async ({ cell }) => {
    const spies = LEVELS.map((level) => vi.spyOn(console, level));
    expect(await run(cell, remote(createReranker, server.url(""), request()))).toEqual([]);
    for (const spy of spies) expect(spy).not.toHaveBeenCalled();
  });

  const FLAGS: Partial<Record<NonNullable<Cell["place"]>, string>> = {
    "no-wasm": "--no-expose-wasm", "no-simd": "--no-enable-sse4-1", "little-memory": "--wasm-max-mem-pages=16",
  };

  test.each(of("node").filter(({ cell }) => cell.place))("$name", async ({ cell, at }) => {
    let entry = join(dist, "node.js");
    if (cell.place === "no-runtime") {
      cpSync(dist, join(made.folder, "dist"), { recursive: true, filter: (from) => !from.endsWith(".wasm") });
      writeFileSync(join(made.folder, "package.json"), `{"type":"module"}`);
      entry = join(made.folder, "dist/node.js");
    }
    const main = join(made.folder, `place-${at}.mjs`);
    // Without WebAssembly Node's own fetch does not load, so files are read here.
    writeFileSync(main, `
      import { readFileSync } from "node:fs";
      import { createReranker } from ${JSON.stringify(pathToFileURL(entry).href)};
      import { cells, run, remote } from "./script.mjs";
      const kit = remote(createReranker, ${JSON.stringify(server.url(""))}, ${JSON.stringify(request())});
      kit.wasm = async () => new Uint8Array();
      kit.bundle = async () => new Uint8Array(readFileSync(${JSON.stringify(bundlePath)}));
      console.log(JSON.stringify(await run(cells[${at}], kit)));`);
    const flag = FLAGS[cell.place!];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [...(flag ? [flag] : []), main]);
    expect([JSON.parse(stdout), stderr]).toEqual([[], ""]);
  });
});

describe.skipIf(executablePath === undefined)("Chromium", () => {
  let browser: Browser;
  let host: Site;
  const FLAGS: Partial<Record<NonNullable<Cell["place"]>, string>> = {
    "no-simd": "--no-enable-sse4-1", "little-memory": "--wasm-max-mem-pages=16",
  };

  beforeAll(async () => {
    [browser, host] = await Promise.all([launch(), site()]);
    host.files.set("/cells.mjs", readFileSync(made.script));
  });

  afterAll(async () => {
    await browser?.close();
    await host?.close();
  });

  test.each(of("chromium"))("$name", async ({ cell, at }) => {
    const { place } = cell;
    const flag = place && FLAGS[place];
    const by = flag ? await launch(flag) : browser;
    host.policy = place === "csp" ? "default-src 'self'; img-src data:; script-src 'self'; connect-src *" : undefined;
    host.wasmType = place === "no-runtime" ? undefined : place === "wrong-type" ? "text/plain" : "application/wasm";
    const { page, noise } = await open(by, host);
    const found = await page.evaluate(`(async () => {
      const [{ createReranker }, { cells, run, remote }] = await Promise.all([import("/browser.js"), import("/cells.mjs")]);
      const found = await run(cells[${at}], remote(createReranker, ${JSON.stringify(server.url(""))}, ${JSON.stringify(request())}));
      await new Promise((next) => setTimeout(next, 0));
      return found;
    })()`);
    await page.close();
    if (flag) await by.close();
    expect(found).toEqual([]);
    // The browser's own report of what was not loaded is its own.
    expect(noise.filter((line) => !line.startsWith("Failed to load resource"))).toEqual([]);
  });
});

const { Miniflare: Workerd } = await import("miniflare").catch(() => ({ Miniflare: undefined }));

describe.skipIf(!Workerd)("workerd", () => {
  let worker: Miniflare;
  let url: URL;

  beforeAll(async () => {
    const names = Object.keys(MODULES);
    const main = `
      import { createReranker } from "./workerd.js";
      import { cells, run, remote } from "./script.mjs";
      ${names.map((name, at) => `import module${at} from "./${name}.wasm";`).join("\n")}
      const modules = { ${names.map((name, at) => `${JSON.stringify(name)}: module${at}`).join(", ")} };
      const noise = [];
      for (const level of ["log", "info", "warn", "error", "debug", "trace"]) console[level] = (...given) => noise.push(given.map(String).join(" "));
      addEventListener("unhandledrejection", ({ reason }) => noise.push("unhandled: " + String(reason)));
      export default {
        async fetch(request) {
          const at = Number(new URL(request.url).pathname.slice(1));
          const { base, asked } = await request.json();
          noise.length = 0;
          const found = await run(cells[at], remote(createReranker, base, asked, modules)).catch((thrown) => [String(thrown.stack)]);
          await new Promise((next) => setTimeout(next, 1));
          return Response.json({ found, noise });
        },
      };`;
    worker = new Workerd!({
      compatibilityDate: "2026-01-01",
      modules: [
        { type: "ESModule", path: "main.mjs", contents: main },
        { type: "ESModule", path: "workerd.js", contents: readFileSync(join(dist, "workerd.js"), "utf8") },
        { type: "ESModule", path: "script.mjs", contents: readFileSync(made.script, "utf8") },
        { type: "CompiledWasm", path: "ranklet.wasm", contents: readFileSync(join(dist, "ranklet.wasm")) },
        ...names.map((name) => ({ type: "CompiledWasm" as const, path: `${name}.wasm`, contents: file(`/wasm/${name}`)! })),
      ],
    });
    url = await worker.ready;
  });

  afterAll(() => worker?.dispose());

  test.each(of("workerd"))("$name", async ({ at }) => {
    const response = await fetch(new URL(`/${at}`, url), { method: "POST", body: JSON.stringify({ base: server.url(""), asked: request() }) });
    expect(await response.json()).toEqual({ found: [], noise: [] });
  });
});

import { copyFileSync, cpSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build as esbuild } from "esbuild";
import { build as vite } from "vite";
import { expect } from "vitest";
import type { Answer, App } from "./app.js";
import { answerOfServer } from "./spawned.js";
import { lend, tools } from "./tools.js";

const PAGE = (script: string) => `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><script type=module src="${script}"></script>`;

const MAIN = `import { createReranker } from "ranklet";\nimport { report } from "./cell.mjs";\nvoid report(createReranker);\n`;

/** A tool of the matrix, as its own package exports it. */
const required = (name: string) => createRequire(join(tools(), "package.json"))(name) as never;

/** Builds the same small page with one bundler; gives the folder to serve. */
export type Bundle = (app: App) => Promise<string>;

/** Neither knows what \`new URL(name, import.meta.url)\` names: the wasm is copied beside the bundle, as their users do. */
function beside(app: App, folder: string): string {
  copyFileSync(app.path("node_modules/ranklet/dist/ranklet.wasm"), app.path(`${folder}/ranklet.wasm`));
  app.write(`${folder}/index.html`, PAGE("/main.js"));
  return folder;
}

export const withEsbuild: Bundle = async (app) => {
  app.write("main.mjs", MAIN);
  await esbuild({ absWorkingDir: app.folder, entryPoints: ["main.mjs"], outfile: app.path("esbuild/main.js"), bundle: true, format: "esm", minify: true, logLevel: "error" });
  return beside(app, "esbuild");
};

export const withRollup: Bundle = async (app) => {
  app.write("main.mjs", MAIN);
  const { rollup } = required("rollup") as { rollup: (options: object) => Promise<{ write(options: object): Promise<unknown> }> };
  const { nodeResolve } = required("@rollup/plugin-node-resolve") as { nodeResolve: (options: object) => object };
  const built = await rollup({ input: app.path("main.mjs"), plugins: [nodeResolve({ browser: true })] });
  await built.write({ dir: app.path("rollup"), format: "es", entryFileNames: "main.js" });
  return beside(app, "rollup");
};

export const withVite: Bundle = async (app) => {
  app.write("main.mjs", MAIN);
  app.write("index.html", PAGE("/main.mjs"));
  await vite({ root: app.folder, logLevel: "error", configFile: false, build: { outDir: "vite", emptyOutDir: true } });
  return "vite";
};

interface Stats {
  hasErrors(): boolean;
  toString(options: object): string;
}

export const withWebpack: Bundle = async (app) => {
  app.write("main.mjs", MAIN);
  const webpack = required("webpack") as (options: object, done: (error: Error | null, stats: Stats) => void) => void;
  await new Promise<void>((done, failed) => {
    const output = { path: app.path("webpack"), filename: "main.js", publicPath: "/" };
    webpack({ mode: "production", context: app.folder, entry: "./main.mjs", output }, (error, stats) => {
      if (error || stats.hasErrors()) failed(error ?? new Error(stats.toString({ all: false, errors: true })));
      else done();
    });
  });
  app.write("webpack/index.html", PAGE("/main.js"));
  return "webpack";
};

const NEXT = () => join(tools(), "node_modules/next/dist/bin/next");

/** A site's own folder and configuration. */
function nextSite(app: App, site: string, options: object): void {
  lend(app, "next", "react", "react-dom");
  const roots = { outputFileTracingRoot: app.folder, turbopack: { root: app.folder } };
  app.write(`${site}/package.json`, JSON.stringify({ name: "site", private: true, type: "module" }));
  app.write(`${site}/next.config.mjs`, `export default ${JSON.stringify({ ...options, experimental: { cpus: 1 }, ...roots })};\n`);
  cpSync(app.path("cell.mjs"), app.path(`${site}/cell.mjs`));
}

const nextBuild = (app: App, site: string) => app.run(process.execPath, [NEXT(), "build", "--webpack", site], { NEXT_TELEMETRY_DISABLED: "1" });

/** Rendered at build, hydrated in the browser: the import must stand on the server too. */
export const withNext: Bundle = async (app) => {
  const site = "next-app";
  nextSite(app, site, { output: "export" });
  app.write(`${site}/pages/index.js`, `
    import { createReranker } from "ranklet";
    import { useEffect } from "react";
    import { report } from "../cell.mjs";
    export default function Home() {
      useEffect(() => void report(createReranker), []);
      return <p>{typeof createReranker}</p>;
    }
  `);
  await nextBuild(app, site);
  return `${site}/out`;
};

/** A route of Next's edge runtime, which resolves with `edge-light` and compiles no bytes; the bundle is fetched from its own site. */
export async function answerOfNextEdge(app: App): Promise<Answer> {
  const site = "next-edge";
  nextSite(app, site, {});
  mkdirSync(app.path(`${site}/public`), { recursive: true });
  cpSync(app.path("ads-recs.ranklet"), app.path(`${site}/public/ads-recs.ranklet`));
  cpSync(app.path("case.json"), app.path(`${site}/case.json`));
  app.write(`${site}/pages/api/rank.js`, `
    import { createReranker } from "ranklet";
    import asked from "../../case.json";
    import { rank } from "../../cell.mjs";
    export const config = { runtime: "edge" };
    export default async ({ url }) => Response.json(await rank(createReranker, new URL("/ads-recs.ranklet", url), asked));
  `);
  await nextBuild(app, site);
  const answer = await answerOfServer((port) => [process.execPath, [NEXT(), "start", "-H", "127.0.0.1", "-p", String(port)], app.path(site)], "/api/rank");
  // What the route runs is the packed file, handed to it compiled.
  const { functions } = JSON.parse(readFileSync(app.path(`${site}/.next/server/middleware-manifest.json`), "utf8")) as { functions: Record<string, { wasm: { filePath: string }[] }> };
  const compiled = Object.values(functions).flatMap(({ wasm }) => wasm.map(({ filePath }) => readFileSync(app.path(`${site}/.next/${filePath}`))));
  expect(compiled.map((wasm) => wasm.equals(readFileSync(app.path("node_modules/ranklet/dist/ranklet.wasm"))))).toEqual([true]);
  return answer;
}

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";
import { bundle, dist } from "./fixtures.js";
import { serve, type Served } from "./server.js";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** The browser of this machine; where there is none the tests that need it are skipped, and counted as such. */
export const executablePath = process.env.CHROMIUM_PATH ?? find();

function find(): string | undefined {
  try {
    return execFileSync("sh", ["-c", "command -v chromium || command -v google-chrome"], { encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
}

/** Chromium with V8's own switches. */
export function launch(...v8: string[]): Promise<Browser> {
  if (executablePath === undefined) throw new Error("there is no Chromium");
  return chromium.launch({ executablePath, args: v8.length > 0 ? [...FLAGS, `--js-flags=${v8.join(" ")}`] : FLAGS });
}

export interface Site extends Served {
  /** Content-Security-Policy of the next pages. */
  policy: string | undefined;
  /** MIME type of the wasm; undefined: it is not there. */
  wasmType: string | undefined;
  /** Paths asked for, in order. */
  asked: string[];
  /** Further files, by path. */
  files: Map<string, string | Uint8Array>;
}

/** The assembled package as a static host serves it, and an empty page beside it. */
export async function site(): Promise<Site> {
  const state: Pick<Site, "policy" | "wasmType" | "asked" | "files"> = {
    policy: undefined, wasmType: "application/wasm", asked: [], files: new Map(),
  };
  const served = await serve(({ url }, response) => {
    const path = url!;
    state.asked.push(path);
    if (state.policy) response.setHeader("content-security-policy", state.policy);
    const file = state.files.get(path);
    if (file !== undefined) response.setHeader("content-type", path.endsWith(".mjs") ? "text/javascript" : "text/plain").end(file);
    else if (path === "/") response.setHeader("content-type", "text/html").end("<!doctype html><link rel=icon href=data:,>");
    else if (path === "/ads-recs.ranklet") response.end(bundle());
    else if (/^\/[\w-]+\.js$/.test(path)) response.setHeader("content-type", "text/javascript").end(readFileSync(join(dist, path)));
    else if (/^\/\w+\.wasm$/.test(path) && state.wasmType) {
      response.setHeader("content-type", state.wasmType).end(readFileSync(join(dist, path)));
    } else response.writeHead(404).end();
  });
  return Object.assign(state, served);
}

declare global {
  /** In the page: the package's browser entry. */
  // eslint-disable-next-line no-var
  var ranklet: typeof import("ranklet");
}

/** Imports the package in a page. As text, because the test runner rewrites every `import` that it can see. */
export async function load(page: Page): Promise<void> {
  await page.evaluate('import("/browser.js").then((all) => { globalThis.ranklet = all; })');
}

/** An empty page of the site, and what was said on its console. */
export async function open(browser: Browser, { url }: Served): Promise<{ page: Page; noise: string[] }> {
  const page = await browser.newPage();
  const noise: string[] = [];
  page.on("console", (message) => noise.push(message.text()));
  page.on("pageerror", (error) => noise.push(error.message));
  await page.goto(url("/"));
  return { page, noise };
}

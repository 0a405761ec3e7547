// Real pages with the entries beside the core: their own server, so that a test says what each path answers, and how.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { executablePath } from "./chromium.js";
import { dist } from "./fixtures.js";
import { serve, type Served } from "./server.js";
import { digestOf } from "./signing.js";

export interface Pages extends Served {
  /** What paths answer, before the package's own files. */
  files: Map<string, Uint8Array | number>;
  /** What was asked for, and answered with. */
  asked: { path: string; status: number }[];
  /** Headers of the pages. */
  headers: Record<string, string>;
}

/** The package's files, and whatever a test puts beside them, each with an ETag. */
export async function pages(): Promise<Pages> {
  const state = { files: new Map<string, Uint8Array | number>(), asked: [] as Pages["asked"], headers: {} as Record<string, string> };
  const served = await serve(({ url, headers }, response) => {
    const path = url!;
    const type = path.endsWith(".wasm") ? "application/wasm" : /\.m?js$/.test(path) ? "text/javascript" : path === "/" ? "text/html" : "application/octet-stream";
    let file = state.files.get(path);
    if (file === undefined && /^\/[\w-]+\.(js|wasm)$/.test(path)) file = new Uint8Array(readFileSync(join(dist, path)));
    if (path === "/") file = new TextEncoder().encode("<!doctype html><link rel=icon href=data:,>");
    const etag = typeof file === "object" ? `"${digestOf(file)}"` : "";
    const status = file === undefined ? 404 : typeof file === "number" ? file : headers["if-none-match"] === etag ? 304 : 200;
    state.asked.push({ path, status });
    // A page without an origin of its own reads only what says that anybody may.
    for (const [name, value] of Object.entries({ "content-type": type, "access-control-allow-origin": "*", ...(etag ? { etag } : {}) })) response.setHeader(name, value);
    if (path === "/") for (const [name, value] of Object.entries(state.headers)) response.setHeader(name, value);
    response.writeHead(status).end(status === 200 ? (file as Uint8Array) : undefined);
  });
  return Object.assign(state, served);
}

export function launch(...flags: string[]): Promise<Browser> {
  return chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", ...flags] });
}

/** A page with the entries as globals, and what was said on its console. */
export async function open(context: BrowserContext | Browser, address: string): Promise<{ page: Page; noise: string[] }> {
  const page = await context.newPage();
  const noise: string[] = [];
  page.on("console", (message) => noise.push(message.text()));
  page.on("pageerror", (error) => noise.push(error.message));
  await go(page, address);
  return { page, noise };
}

export async function go(page: Page, address: string): Promise<void> {
  await page.goto(address);
  // As text, because the test runner rewrites every `import` that it can see.
  await page.evaluate(`(async () => {
    globalThis.ranklet = await import("/browser.js");
    globalThis.delivery = await import("/delivery.js");
    globalThis.storage = await import("/storage.js");
  })()`);
}

declare global {
  /* eslint-disable no-var */
  var delivery: typeof import("ranklet/delivery");
  var storage: typeof import("ranklet/storage");
  /* eslint-enable no-var */
}

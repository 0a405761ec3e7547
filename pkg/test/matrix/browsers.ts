import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { executablePath, launch } from "../chromium.js";
import { serve, type Served } from "../server.js";
import type { Answer, App } from "./app.js";

const TYPES: Record<string, string> = {
  ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json", ".css": "text/css",
};

/** A static host of one folder, that a page tells its answer. */
export interface Host extends Served {
  answer: Promise<Answer>;
  /** Paths asked for. */
  asked: string[];
}

/** Serves `folder` of the project, and the case and the bundle from its root. */
export async function host(app: App, folder: string, headers: Record<string, string> = {}): Promise<Host> {
  let tell!: (answer: Answer) => void;
  const answer = new Promise<Answer>((resolve) => (tell = resolve));
  const asked: string[] = [];
  const served = await serve((request, response) => {
    const path = new URL(request.url!, "http://localhost").pathname;
    asked.push(path);
    if (request.method === "POST") {
      let body = "";
      request.on("data", (part) => (body += part));
      request.on("end", () => {
        response.end();
        tell(JSON.parse(body) as Answer);
      });
      return;
    }
    const inside = join(app.path(folder), path === "/" ? "index.html" : path);
    const file = [inside, app.path(path.slice(1))].find((name) => existsSync(name) && statSync(name).isFile());
    if (file === undefined) return void response.writeHead(404).end();
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream").end(readFileSync(file));
  });
  return { ...served, answer, asked };
}

/** A browser that opens an address, and how it is closed. */
export interface Browser {
  name: string;
  /** What would have to be installed; undefined: it is here. */
  missing: string | undefined;
  open(url: string): Promise<() => Promise<void>>;
}

const onPath = (...names: string[]) =>
  (process.env.PATH ?? "").split(":").flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));

export const chromium: Browser = {
  name: "Chromium",
  missing: executablePath === undefined ? "sudo apt-get install -y chromium" : undefined,
  async open(url) {
    const browser = await launch();
    await (await browser.newPage()).goto(url, { waitUntil: "commit" });
    return () => browser.close();
  },
};

const firefoxPath = onPath("firefox-esr", "firefox");

export const firefox: Browser = {
  name: "Firefox",
  missing: firefoxPath ? undefined : "sudo apt-get install -y firefox-esr",
  async open(url) {
    const profile = mkdtempSync(join(tmpdir(), "ranklet-firefox-"));
    const child = started(firefoxPath!, ["--headless", "--no-remote", "--profile", profile, url], { MOZ_DISABLE_AUTO_SAFE_MODE: "1" });
    return async () => {
      await ended(child);
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    };
  },
};

const xvfb = onPath("xvfb-run");
const miniBrowser = [
  "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser", "/usr/lib/aarch64-linux-gnu/webkit2gtk-4.1/MiniBrowser", "/usr/libexec/webkit2gtk-4.1/MiniBrowser",
].find((path) => existsSync(path));

export const webkit: Browser = {
  name: "WebKit",
  missing: xvfb && miniBrowser ? undefined : "sudo apt-get install -y webkit2gtk-driver xvfb xauth",
  async open(url) {
    // Its own sandbox needs rights that a container does not give; the page is ours.
    const env = { WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1", WEBKIT_DISABLE_COMPOSITING_MODE: "1", LIBGL_ALWAYS_SOFTWARE: "1" };
    const child = started(xvfb!, ["-a", miniBrowser!, "--private", url], env);
    return () => ended(child);
  },
};

/** In a process group of its own, since each of them starts others. */
function started(program: string, args: readonly string[], env: Record<string, string>): ChildProcess {
  return spawn(program, args, { detached: true, stdio: "ignore", env: { ...process.env, ...env } });
}

async function ended(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  if (child.exitCode === null) {
    // The group that was started, and nothing else.
    process.kill(-child.pid!, "SIGTERM");
    const hard = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), 5000);
    await gone;
    clearTimeout(hard);
  }
}

/** What the page at the host's root tells when this browser opens it. */
export async function answerIn(browser: Browser, at: Host, seconds = 60): Promise<Answer> {
  const close = await browser.open(at.url("/"));
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(`${browser.name} told nothing in ${seconds} s; asked for: ${at.asked.join(" ")}`)), seconds * 1000).unref();
  });
  try {
    return await Promise.race([at.answer, late]);
  } finally {
    await close();
    await at.close();
  }
}

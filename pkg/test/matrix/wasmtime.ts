import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { matrix, type Answer, type App } from "./app.js";
import { made } from "./tools.js";

const REQUIREMENTS = join(matrix, "requirements.txt");
const home = join(made, "wasmtime");

/** Wasmtime's Python package in an environment of its own, made unless it is there; undefined where it cannot be. */
const python: string | undefined = (() => {
  const [interpreter, ready] = [join(home, "bin/python"), join(home, "requirements.txt")];
  if (existsSync(ready) && readFileSync(ready).equals(readFileSync(REQUIREMENTS))) return interpreter;
  try {
    rmSync(home, { recursive: true, force: true });
    mkdirSync(made, { recursive: true });
    execFileSync("python3", ["-m", "venv", home], { stdio: "pipe" });
    execFileSync(interpreter, ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet", "--retries", "1", "-r", REQUIREMENTS], { stdio: "pipe" });
    copyFileSync(REQUIREMENTS, ready);
    return interpreter;
  } catch {
    // No Python, or no registry: the cell says so.
    return undefined;
  }
})();

/** What would have to be there. */
export const missing = python === undefined ? "python3 -m pip install -r pkg/test/matrix/requirements.txt" : undefined;

/** The package's own JavaScript in Node, and every instruction of its wasm in Wasmtime. */
export async function answerOfWasmtime(app: App, program: string): Promise<Answer> {
  const face = new URL("wasmtime-face.mjs", import.meta.url).href;
  const told = await app.run(python!, [join(matrix, "wasmtime-host.py"), "wasmtime.json", process.execPath, "--import", face, program]);
  const ran = JSON.parse(readFileSync(app.path("wasmtime.json"), "utf8")) as { version: string; modules: string[]; instances: number; calls: number };
  const packed = readFileSync(app.path("node_modules/ranklet/dist/ranklet.wasm"));
  expect(readFileSync(REQUIREMENTS, "utf8")).toContain(`wasmtime==${ran.version}\n`);
  expect(ran.modules).toContain(createHash("sha256").update(packed).digest("hex"));
  expect(ran.instances).toBe(1);
  expect(ran.calls).toBeGreaterThan(10);
  return JSON.parse(told) as Answer;
}

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { root } from "../fixtures.js";
import { matrix, type App } from "./app.js";

/** Outside of the package's sources: nothing there is stamped, copied or packed. */
export const made = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "ranklet/matrix");

/** The bundlers and runtimes of the matrix, installed from their lock file unless they are. */
export function tools(): string {
  const lock = "package-lock.json";
  const same = (name: string) => existsSync(join(made, name)) && readFileSync(join(made, name)).equals(readFileSync(join(matrix, name)));
  if (!same(lock) || !existsSync(join(made, "node_modules/.package-lock.json"))) {
    mkdirSync(made, { recursive: true });
    for (const name of ["package.json", lock]) copyFileSync(join(matrix, name), join(made, name));
    execFileSync("npm", ["ci", "--prefer-offline", "--no-audit", "--no-fund"], { cwd: made, stdio: "pipe" });
  }
  return made;
}

/** Makes packages of the tools resolvable in the project, as if it had installed them. */
export function lend(app: App, ...names: string[]): void {
  for (const name of names) {
    const target = app.path(join("node_modules", name));
    if (existsSync(target)) continue;
    mkdirSync(join(target, ".."), { recursive: true });
    symlinkSync(join(tools(), "node_modules", name), target);
  }
}

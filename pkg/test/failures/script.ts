import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

/** What lies in this folder as one module, for places other than the test's own process. */
export async function bundled(exports: string): Promise<{ folder: string; script: string; remove: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), "ranklet-failures-"));
  const script = join(folder, "script.mjs");
  await build({
    stdin: { contents: exports, resolveDir: import.meta.dirname, loader: "ts" },
    bundle: true, format: "esm", target: "es2022", outfile: script, logLevel: "warning",
  });
  return { folder, script, remove: () => rmSync(folder, { recursive: true }) };
}

/** All of a long test, or the part of it that every run has time for. */
export const isFull = process.env.RANKLET_FULL === "1";

import { readFile } from "node:fs/promises";
import { bind } from "./bind.js";

/** In Node a name is a path unless it has a scheme of the web; `fetch` there reads no files. */
async function read(source: URL | string): Promise<Response | Uint8Array> {
  if (/^(https?|data|blob):/i.test(String(source))) return fetch(source);
  return readFile(typeof source === "string" && source.startsWith("file:") ? new URL(source) : source);
}

const ranklet = bind({ read, runtime: () => readFile(new URL("./ranklet.wasm", import.meta.url)) });

export const createReranker = ranklet.createReranker;
export const createScorer = ranklet.createScorer;
export * from "./public.js";

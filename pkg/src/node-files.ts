import { readFile } from "node:fs/promises";

/** In Node a name is a path unless it has a scheme of the web; `fetch` there reads no files. */
export async function read(source: URL | string): Promise<Response | Uint8Array> {
  if (/^(https?|data|blob):/i.test(String(source))) return fetch(source);
  return readFile(typeof source === "string" && source.startsWith("file:") ? new URL(source) : source);
}

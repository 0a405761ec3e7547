import wasm from "#wasm";
import { bind } from "./bind.js";

/** The wasm out of this module's own text. */
async function unpacked(): Promise<Uint8Array> {
  const deflated = Uint8Array.from(atob(wasm), (digit) => digit.charCodeAt(0));
  const bytes = new Response(deflated).body!.pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(bytes).arrayBuffer());
}

export const createReranker = bind({ read: (source) => fetch(source), runtime: unpacked });
export * from "./public.js";

import { AsyncReranker, type AsyncRerankerOptions } from "./worker.js";
import type { Port } from "./worker-messages.js";

/** Returns at once and never throws: whatever is wrong, the reranker answers with the server's order and a reason. */
export function createAsyncReranker<C = unknown>(options: AsyncRerankerOptions<C>): AsyncReranker<C> {
  // In this very form, by which bundlers find the worker's script.
  const start = () => new Worker(new URL("./worker-host-browser.js", import.meta.url), { type: "module" }) as unknown as Port;
  return new AsyncReranker(options, start, fromHere);
}

/** An address as this page means it: the worker's script lies elsewhere. */
function fromHere(source: string): string {
  try {
    return new URL(source, typeof document === "object" ? document.baseURI : location.href).href;
  } catch {
    return source;
  }
}

export * from "./worker-public.js";

import { Worker } from "node:worker_threads";
import { AsyncReranker, type AsyncRerankerOptions } from "./worker.js";
import type { Port } from "./worker-messages.js";

/** Returns at once and never throws: whatever is wrong, the reranker answers with the server's order and a reason. */
export function createAsyncReranker<C = unknown>(options: AsyncRerankerOptions<C>): AsyncReranker<C> {
  const start = () => {
    const worker = new Worker(new URL("./worker-host-node.js", import.meta.url), { workerData: { ranklet: "host" }, execArgv: [] });
    // With none of the flags of this process, some of which are about its own script.
    // A process ends with its own work; while an answer is awaited the line holds it.
    worker.unref();
    return worker as unknown as Port;
  };
  return new AsyncReranker(options, start, (source) => source);
}

export * from "./worker-public.js";

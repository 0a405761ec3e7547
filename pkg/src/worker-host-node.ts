import { parentPort, workerData } from "node:worker_threads";
import { createReranker } from "./node.js";
import type { Port } from "./worker-messages.js";
import { serveWith } from "./worker-serve.js";

/** Hosts an engine for the other end of a port. */
export function serve(port: Port): void {
  serveWith(createReranker, port);
}

// The thread that `createAsyncReranker` starts is this file and nothing else.
if (parentPort && (workerData as { ranklet?: unknown } | null)?.ranklet === "host") serve(parentPort as unknown as Port);

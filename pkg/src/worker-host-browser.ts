import { createReranker } from "./browser.js";
import type { Port } from "./worker-messages.js";
import { serveWith } from "./worker-serve.js";

/** Hosts an engine for the other end of a port: for a SharedWorker, or a worker that does other things too. */
export function serve(port: Port): void {
  serveWith(createReranker, port);
}

// The worker that `createAsyncReranker` starts is this file and nothing else.
declare const DedicatedWorkerGlobalScope: { new (): Port } | undefined;
declare const SharedWorkerGlobalScope: { new (): EventTarget } | undefined;
const scope: unknown = globalThis;
if (typeof DedicatedWorkerGlobalScope === "function" && scope instanceof DedicatedWorkerGlobalScope) serve(scope);
if (typeof SharedWorkerGlobalScope === "function" && scope instanceof SharedWorkerGlobalScope) {
  scope.addEventListener("connect", (event) => serve((event as MessageEvent).ports[0] as unknown as Port));
}

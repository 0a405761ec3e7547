// Rerankers and threads of the tests of ranklet/worker.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { createAsyncReranker, type AsyncReranker, type AsyncRerankerOptions } from "ranklet/worker";
import { afterEach } from "vitest";
import { bundle, dist, request, type Candidate } from "./fixtures.js";

export const asked = request("02");
export const clock = () => asked.now;
const made: AsyncReranker<Candidate>[] = [];

afterEach(() => {
  for (const reranker of made.splice(0)) reranker.dispose();
});

/** Disposed of after its test. */
export function create(options: Partial<AsyncRerankerOptions<Candidate>> = {}): AsyncReranker<Candidate> {
  const reranker = createAsyncReranker<Candidate>({ bundle: bundle(), clock, timeoutMs: 20_000, ...options });
  made.push(reranker);
  return reranker;
}

/** A port whose other end is a thread that does what the text says, with `serve` at hand. */
export function thread(text: string): Worker {
  const host = pathToFileURL(join(dist, "worker-host-node.js")).href;
  return new Worker(`(async () => { const { serve } = await import(${JSON.stringify(host)}); const { parentPort, workerData } = require("node:worker_threads"); ${text} })();`, { eval: true });
}

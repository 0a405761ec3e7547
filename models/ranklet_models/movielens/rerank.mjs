// Re-rank a log with the runtime's wasm in Node, by the npm package in place:
//   node rerank.mjs BUNDLE REQUESTS.jsonl EVENTS.jsonl OUT.jsonl
// Writes one line a request: { source, reason, order: [candidate index], score: [of each candidate] }.
import { createWriteStream, readFileSync } from "node:fs";
import { once } from "node:events";

const [bundlePath, requestsPath, eventsPath, outPath] = process.argv.slice(2);
if (!outPath) {
  console.error("usage: node rerank.mjs BUNDLE REQUESTS.jsonl EVENTS.jsonl OUT.jsonl");
  process.exit(2);
}

const { createReranker } = await import("../../../pkg/dist/node.js").catch((error) => {
  console.error(`the npm package is not assembled (${error.message}). Build it with: cargo xtask build`);
  process.exit(1);
});

const lines = (path) => readFileSync(path, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
const bySession = new Map();
for (const event of lines(eventsPath)) {
  const list = bySession.get(event.session);
  if (list) list.push(event);
  else bySession.set(event.session, [event]);
}

const reranker = createReranker({ bundle: new Uint8Array(readFileSync(bundlePath)) });
const status = await reranker.ready;
if (status.source !== "model") {
  console.error(`the bundle did not load: ${JSON.stringify(status)}`);
  process.exit(1);
}

const out = createWriteStream(outPath);
let milliseconds = 0;
let count = 0;
for (const request of lines(requestsPath)) {
  const session = reranker.session({ key: request.session });
  // An event reaches a request if its time is not after the request's `now`.
  for (const event of bySession.get(request.session) ?? []) if (event.time <= request.now) session.observe(event);
  const began = performance.now();
  const list = session.prepare({ candidates: request.candidates, facts: request.facts, now: request.now });
  const ranking = list.rerank({ now: request.now });
  milliseconds += performance.now() - began;
  count += 1;
  const order = ranking.entries.map((entry) => entry.serverRank - 1);
  const score = new Array(order.length);
  for (const entry of ranking.entries) score[entry.serverRank - 1] = entry.score;
  const line = JSON.stringify({ source: ranking.source, reason: ranking.reason, order, score });
  if (!out.write(`${line}\n`)) await once(out, "drain");
  list.dispose();
  session.dispose?.();
}
out.end();
await once(out, "finish");
reranker.dispose?.();
console.log(JSON.stringify({ requests: count, ms: milliseconds / count, node: process.version }));

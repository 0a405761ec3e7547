// The same on Node: node server.mjs BUNDLE ORIGIN [PORT]. GET passes to the origin and re-ranks, POST /events takes events in.
import { createServer } from "node:http";
import { createReranker } from "ranklet";

const [bundle, origin, port = "8080"] = process.argv.slice(2);
// Here the clock moves, so a time can be kept: as many candidates are scored as fit it, by the times so far.
const reranker = createReranker({ bundle, deadlineMs: 5 });
/** What is known of each user, in place of a store that outlives the process. */
const snapshots = new Map();

async function rerank(path, key) {
  const answer = await fetch(new URL(path, origin));
  const body = await answer.json();
  const session = reranker.session({ snapshot: snapshots.get(key) });
  const ranking = session.prepare(body).rerank();
  session.dispose();
  const headers = { "content-type": "application/json", "x-ranklet-source": ranking.source };
  if (ranking.reason) headers["x-ranklet-reason"] = ranking.reason;
  return { headers, body: JSON.stringify({ ...body, candidates: ranking.items }) };
}

function observe(text, key) {
  const session = reranker.session({ snapshot: snapshots.get(key) });
  const { accepted, refused } = session.merge(JSON.parse(text));
  snapshots.set(key, session.snapshot());
  session.dispose();
  return { headers: { "content-type": "application/json" }, body: JSON.stringify({ accepted, refused }) };
}

async function text(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

const server = createServer(async (request, response) => {
  try {
    const key = request.headers["x-session"] ?? "";
    const events = request.method === "POST" && request.url === "/events";
    const { headers, body } = events ? observe(await text(request), key) : await rerank(request.url, key);
    response.writeHead(200, headers).end(body);
  } catch {
    response.writeHead(502).end();
  }
});
server.listen(Number(port), "127.0.0.1", () => process.stdout.write(`http://127.0.0.1:${server.address().port}\n`));

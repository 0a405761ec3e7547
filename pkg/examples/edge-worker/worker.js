// A worker before an origin: it answers with the origin's candidates in the order for this user, or in the origin's own.
import { createReranker } from "ranklet";

/** Candidates to score at most: the first so many of the origin's. The clock stands still while code runs, so work is counted. */
const ROWS = 200;

/** One engine for the isolate. It knows nobody: what is known of a user is in the session of one request. */
let engine;

/** Made with what this request fetched, since no request can wait for another one's; the first that is whole stays. */
async function load(env) {
  if (engine) return engine;
  const bundle = await env.MODELS.get("ads-recs.ranklet", { type: "arrayBuffer" });
  const made = createReranker({ bundle: bundle ?? Promise.reject(new Error("there is no such model")) });
  if ((await made.ready).source !== "model") return made;
  if (engine) made.dispose();
  return (engine ??= made);
}

async function rerank(request, env) {
  const answer = await env.ORIGIN.fetch(request);
  const body = answer.ok ? await answer.clone().json().catch(() => null) : null;
  if (!Array.isArray(body?.candidates)) return answer;
  // Nothing that fails here costs the user the origin's answer.
  const [reranker, snapshot] = await Promise.all([load(env).catch(() => createReranker({ enabled: false })), read(request, env)]);
  const session = reranker.session({ snapshot });
  const ranking = session.prepare(body).rerank({ rows: Number(env.ROWS ?? ROWS) });
  session.dispose();
  const headers = new Headers({ "content-type": "application/json", "x-ranklet-source": ranking.source });
  if (ranking.reason) headers.set("x-ranklet-reason", ranking.reason);
  if (ranking.degraded) headers.set("x-ranklet-degraded", "1");
  return new Response(JSON.stringify({ ...body, candidates: ranking.items }), { headers });
}

/** Takes in what the user did: a list of events. What is stored is the snapshot, never the events. */
async function observe(request, env) {
  const key = request.headers.get("x-session");
  if (!key) return new Response(null, { status: 400 });
  const [reranker, snapshot, events] = await Promise.all([load(env), read(request, env), request.json()]);
  const session = reranker.session({ snapshot });
  const { accepted, refused } = session.merge(events);
  const next = session.snapshot();
  session.dispose();
  if (next !== null) await env.SESSIONS.put(key, next, { expirationTtl: 30 * 86_400 });
  return Response.json({ accepted, refused });
}

async function read(request, env) {
  const key = request.headers.get("x-session");
  return key ? env.SESSIONS.get(key).catch(() => null) : null;
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/events" && request.method === "POST") return observe(request, env);
    return rerank(request, env);
  },
};

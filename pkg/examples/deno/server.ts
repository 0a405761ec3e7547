// The same on Deno: deno run --allow-net --allow-read server.ts BUNDLE ORIGIN [PORT].
import { createReranker } from "ranklet";

declare const Deno: {
  args: string[];
  serve(options: { port: number; hostname: string; onListen(at: { port: number }): void }, answer: (request: Request) => Promise<Response>): void;
};

const [bundle, origin, port = "8080"] = Deno.args;
const reranker = createReranker({ bundle: bundle!, deadlineMs: 5 });
/** What is known of each user, in place of a store that outlives the process. */
const snapshots = new Map<string, string | null>();

async function rerank(path: string, key: string): Promise<Response> {
  const body = await (await fetch(new URL(path, origin))).json();
  const session = reranker.session({ snapshot: snapshots.get(key) ?? null });
  const ranking = session.prepare(body).rerank();
  session.dispose();
  const headers = new Headers({ "content-type": "application/json", "x-ranklet-source": ranking.source });
  if (ranking.reason) headers.set("x-ranklet-reason", ranking.reason);
  return new Response(JSON.stringify({ ...body, candidates: ranking.items }), { headers });
}

async function observe(request: Request, key: string): Promise<Response> {
  const session = reranker.session({ snapshot: snapshots.get(key) ?? null });
  const { accepted, refused } = session.merge(await request.json());
  snapshots.set(key, session.snapshot());
  session.dispose();
  return Response.json({ accepted, refused });
}

Deno.serve({ port: Number(port), hostname: "127.0.0.1", onListen: (at) => console.log(`http://127.0.0.1:${at.port}`) }, async (request) => {
  const { pathname, search } = new URL(request.url);
  const key = request.headers.get("x-session") ?? "";
  try {
    return pathname === "/events" && request.method === "POST" ? await observe(request, key) : await rerank(pathname + search, key);
  } catch {
    return new Response(null, { status: 502 });
  }
});

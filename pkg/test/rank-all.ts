import type { BytesSource, createReranker } from "ranklet";
import type { Event, Request } from "./fixtures.js";

/**
 * Ranks every request with the events that reach it, as `ranklet rerank` does, and gives the decision records
 * in the compact form, one after the other, as base64. It is sent to the browser as text, so it uses nothing but its arguments.
 */
export async function rankAll(
  create: typeof createReranker,
  bundle: BytesSource,
  requests: Request[],
  events: Event[],
): Promise<string> {
  let now = 0;
  const reranker = create({ bundle, clock: () => now });
  await reranker.ready;
  const bySession = new Map<string | undefined, Event[]>();
  for (const event of [...events].sort((a, b) => a.time - b.time)) {
    const list = bySession.get(event.session) ?? [];
    bySession.set(event.session, list);
    list.push(event);
  }
  let told = "";
  for (const request of requests) {
    now = request.now;
    const session = reranker.session({ key: request.session });
    const list = session.prepare(request as never);
    for (const event of bySession.get(request.session) ?? []) {
      if (event.time <= request.now && !session.observe(event).accepted) throw new Error(`refused: ${JSON.stringify(event)}`);
    }
    const record = list.rerank({ now: request.now }).record();
    session.dispose();
    if (!record) throw new Error(`no record of ${request.decision_id}`);
    for (const byte of record) told += String.fromCharCode(byte);
  }
  reranker.dispose();
  return btoa(told);
}

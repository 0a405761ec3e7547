import type { BytesSource, createReranker } from "ranklet";
import type { Event, Request } from "./fixtures.js";

/**
 * Ranks every request with the events that reach it and gives the records that `onRecord` was told, in the compact form, one
 * after the other, as base64. It is sent to the browser as text, so it uses nothing but its arguments.
 */
export async function recordAll(
  create: typeof createReranker,
  bundle: BytesSource,
  requests: Request[],
  events: Event[],
  consent: "aggregate" | "full",
): Promise<string> {
  let now = 0;
  let told = "";
  const onRecord = (bytes: Uint8Array) => {
    for (const byte of bytes) told += String.fromCharCode(byte);
  };
  const reranker = create({ bundle, clock: () => now, consent, onRecord });
  await reranker.ready;
  const bySession = new Map<string | undefined, Event[]>();
  for (const event of [...events].sort((a, b) => a.time - b.time)) {
    const list = bySession.get(event.session) ?? [];
    bySession.set(event.session, list);
    list.push(event);
  }
  for (const request of requests) {
    now = request.now;
    const session = reranker.session({ key: request.session });
    const list = session.prepare(request as never);
    for (const event of bySession.get(request.session) ?? []) {
      if (event.time <= request.now) session.observe(event);
    }
    list.rerank({ now: request.now });
    session.dispose();
  }
  reranker.dispose();
  return btoa(told);
}

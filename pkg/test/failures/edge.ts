// What an edge worker does for one request, between which others run: see users.test.ts.
import type { Reranker } from "ranklet";
import type { Candidate, Request } from "../fixtures.js";

export interface Answer {
  /** Ids, scores and marks, each number as it is. */
  text: string;
  snapshot: string | null;
}

const EVENTS = ["open", "dismiss", "impression", "undo", "snooze", "dwell"];

/** One request of a user: the context comes from its snapshot and goes into another. `pause` lets others run. */
export async function answer(
  reranker: Reranker<Candidate>, asked: Request, user: number, step: number, snapshot: string | null, pause: () => Promise<unknown>,
): Promise<Answer> {
  const now = asked.now + step * 1000;
  const session = reranker.session({ key: `user-${user}`, snapshot });
  await pause();
  const candidates = asked.candidates.filter((_, at) => (at + user + step) % 4 !== 0);
  const list = session.prepare({ ...asked, candidates, now, decision_id: `${user}-${step}`, list_id: `list-${user}` });
  list.rerank({ now });
  await pause();
  for (let at = 0; at < 3; at++) {
    const candidate = candidates[(user * 7 + step * 3 + at) % candidates.length]!.id;
    session.observe({ type: EVENTS[(user + step + at) % EVENTS.length]!, candidate, time: now });
    if (at === 1) await pause();
  }
  list.update({ ...asked.facts, campaign: { daily_budget: user + step } });
  await pause();
  const ranking = list.rerank({ now, frozen: (user + step) % 3 });
  if (ranking.source !== "model") throw new Error(`user ${user}, step ${step}: ${ranking.reason}, ${ranking.detail}`);
  const text = JSON.stringify(ranking.entries.map(({ id, score, utility, suppressed }) => [id, score, utility, suppressed]));
  const after = session.snapshot();
  session.dispose();
  return { text, snapshot: after };
}

import { createReranker } from "./browser.js";
import type { Reranker } from "./reranker.js";
import type { Session } from "./session.js";

interface Held<T> {
  held: T;
  users: number;
}

/** Rerankers by bundle and sessions by key: elements of one page that name the same ones share them. */
const rerankers = new Map<string, Held<Reranker> & { sessions: Map<string, Held<Session>> }>();

/** The session of this key over this bundle, until the function that comes with it is called. */
export function borrow(bundle: string, key: string): { session: Session; giveBack: () => void } {
  let shared = rerankers.get(bundle);
  if (!shared) rerankers.set(bundle, (shared = { held: createReranker({ bundle }), users: 0, sessions: new Map() }));
  const { sessions, held } = shared;
  let one = sessions.get(key);
  if (!one) sessions.set(key, (one = { held: held.session({ key }), users: 0 }));
  shared.users += 1;
  one.users += 1;
  const [all, mine] = [shared, one];
  let given = false;
  const giveBack = () => {
    if (given) return;
    given = true;
    if (--mine.users === 0) {
      sessions.delete(key);
      mine.held.dispose();
    }
    if (--all.users === 0) {
      rerankers.delete(bundle);
      all.held.dispose();
    }
  };
  return { session: mine.held, giveBack };
}

import { SESSIONS, readKept, written } from "./storage-record.js";
import type { Store } from "./storage-store.js";

/** How many sessions make way for one. */
const MOST = 8;

/** Runs `write`; as long as there is no room for it, the session that was stored the longest ago makes way. */
export async function makeRoom(store: Store, own: string, write: () => Promise<void>): Promise<void> {
  for (let dropped = 0; ; dropped++) {
    try {
      return await write();
    } catch (thrown) {
      const isFull = (thrown as { name?: unknown } | null)?.name === "QuotaExceededError";
      if (!isFull || dropped === MOST || !(await dropOldest(store, own))) throw thrown;
    }
  }
}

async function dropOldest(store: Store, own: string): Promise<boolean> {
  let oldest: { place: string; life: string; revision: number; savedAt: number } | undefined;
  for (const place of await store.keys(SESSIONS)) {
    const kept = place === own ? undefined : readKept(await store.get(place));
    if (typeof kept !== "object" || kept.evicted) continue;
    if (!oldest || kept.savedAt < oldest.savedAt) oldest = { place, ...kept };
  }
  if (!oldest) return false;
  const { place, life, revision, savedAt } = oldest;
  await store.delete(place);
  // That it made way, and was not forgotten, is what a tab that still has it needs to know.
  await store.set(place, written({ life, revision, savedAt, snapshot: null, tail: [], evicted: true })).catch(() => undefined);
  return true;
}

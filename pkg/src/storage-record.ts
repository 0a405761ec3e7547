import type { PlainEvent } from "./events.js";

/** How many of the latest events lie beside a snapshot, for tabs that did not hear of them. */
export const TAIL = 100;

const FORMAT = 1;

/** A session as it is stored. */
export interface Kept {
  /** Made with the record: after `forget` there is another, or none. */
  life: string;
  /** One more with each save. */
  revision: number;
  /** Ms since the epoch. */
  savedAt: number;
  /** What `session.snapshot()` gave. */
  snapshot: string | null;
  tail: PlainEvent[];
  /** It was dropped for want of room; a tab that still has it may store it again. */
  evicted?: boolean;
}

/** Where things of a session's key lie. As JSON, so that no key's places begin as another's do. */
export function places(key: string): { record: string; aside: string; pending: string } {
  const name = JSON.stringify(key);
  return { record: `${SESSIONS}${name}`, aside: `ranklet/aside/${name}`, pending: `ranklet/pending/${name}/` };
}

export const SESSIONS = "ranklet/session/";

export function written(kept: Kept): string {
  return JSON.stringify({ format: FORMAT, ...kept });
}

/** What a stored text holds; `newer`: another version of ranklet wrote it, `corrupt`: nobody did. */
export function readKept(text: unknown): Kept | "newer" | "corrupt" | undefined {
  if (text === undefined) return undefined;
  try {
    const { format, life, revision, savedAt, snapshot, tail, evicted } = JSON.parse(text as string) as Kept & { format: unknown };
    if (typeof format === "number" && format > FORMAT) return "newer";
    if (format !== FORMAT || typeof life !== "string" || !Number.isFinite(revision) || !Number.isFinite(savedAt)) return "corrupt";
    return {
      life, revision, savedAt,
      snapshot: typeof snapshot === "string" ? snapshot : null,
      tail: Array.isArray(tail) ? tail : [],
      evicted: evicted === true,
    };
  } catch {
    return "corrupt";
  }
}

/** Events as they were stored. */
export function readEvents(text: unknown): PlainEvent[] {
  try {
    const events: unknown = JSON.parse(text as string);
    return Array.isArray(events) ? (events as PlainEvent[]) : [];
  } catch {
    return [];
  }
}

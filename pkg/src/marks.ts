import type { EngineInfo } from "./engine.js";
import type { PlainEvent } from "./events.js";

/** What a person did with a candidate last, as far as it hides it. */
export type Mark = 0 | 1 | 2;
export const MARK_NAMES = [null, "dismissed", "snoozed"] as const;
/** The event that makes each mark. */
const MAKERS = ["undo", "dismiss", "snooze"];

const DAY = 86_400_000;
/** The core's defaults, until a bundle says otherwise. */
const LENGTHS: readonly [number, number] = [30 * DAY, DAY];

/** Past this many, what ends first is forgotten first; by so many at once, for that looks at all of them. */
const MOST = 4096;
const SURPLUS = 512;

/** Whether an event of this type can change a mark. */
export function isMarking(type: string): boolean {
  return MAKERS.includes(type);
}

interface Entry {
  mark: Mark;
  time: number;
  until: number;
}

/**
 * Dismissals and snoozes outside the wasm, so that a hidden item stays marked while there is no engine.
 * The latest action on a key counts, in whatever order events arrive; an `undo` lifts what was before it.
 */
export class Marks {
  readonly #entries = new Map<string, Entry>();

  /** Takes an event in; true if an item's mark changed. */
  apply({ type, time, value, reason }: PlainEvent, key: string, info: EngineInfo | undefined): boolean {
    if (!isMarking(type)) return false;
    const mark = MAKERS.indexOf(type) as Mark;
    const before = this.#entries.get(key);
    if (before && before.time > Math.floor(time)) return false;
    const lengths = info?.suppressed_ms ?? LENGTHS;
    // A declared reason's stands behind those of a dismissal and a snooze.
    const declared = mark === 1 && reason !== undefined ? (info?.dismiss_reasons.indexOf(reason) ?? -1) : -1;
    const length = typeof value === "number" && value > 0 ? value : lengths[declared < 0 ? (mark === 1 ? 0 : 1) : declared + 2]!;
    // Whole milliseconds, as in the core's snapshots.
    this.#set(key, { mark, time: Math.floor(time), until: Math.floor(time + length) });
    return (before?.mark ?? 0) !== mark;
  }

  /** Takes up the actions of a snapshot of the engine's. */
  restore(actions: unknown): void {
    for (const [key, action] of Object.entries(actions ?? {})) {
      const { suppression, time, until } = (action ?? {}) as { suppression?: unknown; time?: unknown; until?: unknown };
      const mark = (MARK_NAMES as readonly unknown[]).indexOf(suppression ?? null);
      if (mark < 0 || typeof time !== "number" || typeof until !== "number") continue;
      this.#set(key, { mark: mark as Mark, time, until });
    }
  }

  /** Events that make all these marks anew. */
  events(): PlainEvent[] {
    return Array.from(this.#entries, ([key, { mark, time, until }]) => ({ type: MAKERS[mark]!, key, time, value: until - time }));
  }

  /** The mark of a key at a time; undefined if nothing was seen of it. */
  at(key: string, now: number): Mark | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    return entry.until <= now ? 0 : entry.mark;
  }

  clear(): void {
    this.#entries.clear();
  }

  #set(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    if (this.#entries.size >= MOST + SURPLUS) this.#evict();
  }

  #evict(): void {
    const ends = [...this.#entries].sort(([, a], [, b]) => a.until - b.until);
    for (const [key] of ends.slice(0, this.#entries.size - MOST)) this.#entries.delete(key);
  }
}

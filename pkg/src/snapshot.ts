import { readEvent, type PlainEvent } from "./events.js";

/** A session's context outside an engine: the engine's own text, and the events that came after it. */
export interface Kept {
  /** What the engine's `snapshot` gave; opaque, but for its actions. */
  engine: string | undefined;
  events: PlainEvent[];
}

/** One text of both. The engine's own text where no event waits; its numbers are wider than JavaScript's, so it stays a text. */
export function joined({ engine, events }: Kept): string | null {
  return events.length > 0 ? JSON.stringify({ version: 1, pending: events, engine }) : (engine ?? null);
}

/** Takes a text of either form apart. `actions` are the engine's dismissals and snoozes, whatever they are. */
export function parted(text: string, clock: () => number): Kept & { actions: unknown } {
  const { pending, engine, actions } = parsed(text);
  if (!Array.isArray(pending)) return { engine: text, events: [], actions };
  const events = pending.flatMap((event) => {
    try {
      return [readEvent(event as never, clock)];
    } catch {
      return [];
    }
  });
  return { engine: typeof engine === "string" ? engine : undefined, events, actions: parsed(engine).actions };
}

function parsed(text: unknown): { pending?: unknown; engine?: unknown; actions?: unknown } {
  try {
    return (JSON.parse(text as string) ?? {}) as object;
  } catch {
    return {};
  }
}

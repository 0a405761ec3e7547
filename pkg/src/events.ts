import { invalid } from "./candidates.js";
import type { Engine } from "./engine.js";
import type { LocalEvent } from "./types.js";
import { toText } from "./values.js";

/** What there is to observe, in the engine's order; the first seven are about a candidate. */
const KINDS = "impression open accept dismiss snooze dwell undo edit navigate search".split(" ");
const ABOUT_CANDIDATES = 7;

/** The longest id, key, type, surface or field, in UTF-8. */
const MOST_BYTES = 512;

/** An event as the engine takes it: plain, complete and the face's own. */
export interface PlainEvent {
  id?: string | undefined;
  type: string;
  candidate?: string | undefined;
  key?: string | undefined;
  candidate_type?: string | undefined;
  surface?: string | undefined;
  list?: string | undefined;
  time: number;
  value?: number | string | boolean | undefined;
  reason?: string | undefined;
  field?: string | undefined;
}

/**
 * Reads an event's properties once. Throws `request_invalid` where the engine would, so that what is queued is taken
 * later too, and what a getter throws. Nothing happened later than now: a time ahead of the clock would outlast what follows.
 */
export function readEvent(event: LocalEvent, clock: () => number): PlainEvent {
  if (typeof event !== "object" || event === null) throw invalid("the event is not an object");
  const { id, type, candidate, key, candidate_type, surface, list, time, value, reason, field } = event;
  const kind = KINDS.indexOf(type);
  if (kind < 0) throw invalid("the event has no known type");
  const now = clock();
  const given = time ?? now;
  if (!Number.isFinite(given)) throw invalid("the event's time is not a number of ms");
  const plain: PlainEvent = {
    id: optionalId(id, "id"),
    type,
    candidate: optionalId(candidate, "candidate"),
    key: optionalId(key, "key"),
    candidate_type: optionalText(candidate_type),
    surface: optionalText(surface),
    list: optionalId(list, "list"),
    time: Math.min(given, now),
    value: readValue(value),
    reason: optionalText(reason),
    field: optionalText(field),
  };
  const named = plain.candidate ?? plain.key ?? (type === "undo" ? plain.field : undefined);
  if (kind < ABOUT_CANDIDATES && named === undefined) throw invalid("the event names no candidate and no key");
  if (type === "edit" && plain.field === undefined) throw invalid("the event names no field");
  return plain;
}

/** Throws where a name is longer than the engine keeps. Asked when the event is complete. */
export function checkNames({ id, candidate, key, candidate_type, surface, field }: PlainEvent): void {
  for (const text of [id, candidate, key, candidate_type, surface, field]) {
    // A UTF-16 unit is three bytes at most.
    if (text !== undefined && 3 * text.length > MOST_BYTES && new TextEncoder().encode(text).length > MOST_BYTES) {
      throw invalid("a name in the event is too long");
    }
  }
}

/** What the engine says of an event. */
export const DUE = 2;

/**
 * Gives an event to the engine. Its texts go as one with their lengths: each text and each property of an object that
 * crosses the boundary costs as much as the event itself.
 */
export function sendEvent(engine: Engine, session: number, event: PlainEvent): number {
  const { id, key = event.candidate, candidate_type, surface, list, reason, field, value, type, time } = event;
  const text = typeof value === "string" ? value : undefined;
  const number = text !== undefined || value === undefined ? NaN : Number(value);
  const texts = [id, key, candidate_type, surface, list, reason, field, text];
  const lengths = texts.map((one) => (one === undefined ? -1 : one.length)) as Lengths;
  return engine.observe(session, KINDS.indexOf(type), time, number, typeof value === "boolean", texts.join(""), ...lengths);
}

type Lengths = [number, number, number, number, number, number, number, number];

/** A text is cut to what the engine keeps of it, so that a journal holds no more. */
function readValue(value: unknown): PlainEvent["value"] {
  if (typeof value === "string") return optionalText(value.slice(0, MOST_BYTES));
  return typeof value === "boolean" || Number.isFinite(value) ? (value as number | boolean) : undefined;
}

/** Well formed: texts go joined, where two halves of a character would become one. */
function optionalText(value: unknown): string | undefined {
  return typeof value === "string" ? toText(value)! : undefined;
}

function optionalId(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  const text = toText(value);
  if (text === null) throw invalid(`the event's ${name} is not a string, a BigInt or an exact integer`);
  return text;
}

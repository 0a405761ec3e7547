import { invalid } from "./candidates.js";
import type { LocalEvent } from "./types.js";
import { toText } from "./values.js";

/** What there is to observe; the first seven are about a candidate. */
const KINDS = "impression open accept dismiss snooze dwell undo edit navigate search".split(" ");
const ABOUT_CANDIDATES = 7;

/** The longest id, key, type, surface or field, in UTF-8. */
const MOST_BYTES = 512;

/** An event as the engine takes it: plain, complete and the face's own. */
export interface PlainEvent {
  id?: string;
  type: string;
  candidate?: string;
  key?: string;
  candidate_type?: string | undefined;
  surface?: string;
  time: number;
  value?: number | string | boolean;
  reason?: string;
  field?: string;
}

/**
 * Reads an event's properties once. Throws `request_invalid` where the engine would, so that what is queued is taken
 * later too, and what a getter throws. Nothing happened later than now: a time ahead of the clock would outlast what follows.
 */
export function readEvent(event: LocalEvent, clock: () => number): PlainEvent {
  if (typeof event !== "object" || event === null) throw invalid("the event is not an object");
  const { id, type, candidate, key, candidate_type, surface, time, value, reason, field } = event;
  const kind = KINDS.indexOf(type);
  if (kind < 0) throw invalid("the event has no known type");
  const now = clock();
  const given = time ?? now;
  if (!Number.isFinite(given)) throw invalid("the event's time is not a number of ms");
  const plain: PlainEvent = { type, time: Math.min(given, now) };
  set(plain, "id", optionalId(id, "id"));
  set(plain, "candidate", optionalId(candidate, "candidate"));
  set(plain, "key", optionalId(key, "key"));
  set(plain, "candidate_type", optionalText(candidate_type));
  set(plain, "surface", optionalText(surface));
  set(plain, "reason", optionalText(reason));
  set(plain, "field", optionalText(field));
  if (typeof value === "string" || typeof value === "boolean" || Number.isFinite(value)) plain.value = value!;
  const named = plain.candidate ?? plain.key ?? (type === "undo" ? plain.field : undefined);
  if (kind < ABOUT_CANDIDATES && named === undefined) throw invalid("the event names no candidate and no key");
  if (type === "edit" && plain.field === undefined) throw invalid("the event names no field");
  return plain;
}

/** Throws where a name is longer than the engine keeps. Asked when the event is complete. */
export function checkNames({ id, candidate, key, candidate_type, surface, field }: PlainEvent): void {
  for (const text of [id, candidate, key, candidate_type, surface, field]) {
    if (new TextEncoder().encode(text).length > MOST_BYTES) throw invalid("a name in the event is too long");
  }
}

function set<K extends keyof PlainEvent>(plain: PlainEvent, name: K, value: PlainEvent[K] | undefined): void {
  if (value !== undefined) plain[name] = value;
}

function optionalText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function optionalId(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  const text = toText(value);
  if (text === null) throw invalid(`the event's ${name} is not a string, a BigInt or an exact integer`);
  return text;
}

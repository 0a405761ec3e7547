import { invalid } from "./candidates.js";
import type { LocalEvent } from "./types.js";
import { toText } from "./values.js";

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

/** Reads an event's properties once. Throws `request_invalid` where the format is broken, and what a getter throws. */
export function readEvent(event: LocalEvent, clock: () => number): PlainEvent {
  if (typeof event !== "object" || event === null) throw invalid("the event is not an object");
  const { id, type, candidate, key, candidate_type, surface, time, value, reason, field } = event;
  if (typeof type !== "string" || type === "") throw invalid("the event has no type");
  const plain: PlainEvent = { type, time: time ?? clock() };
  if (!Number.isFinite(plain.time)) throw invalid("the event's time is not a number of ms");
  set(plain, "id", optionalId(id, "id"));
  set(plain, "candidate", optionalId(candidate, "candidate"));
  set(plain, "key", optionalId(key, "key"));
  set(plain, "candidate_type", optionalText(candidate_type));
  set(plain, "surface", optionalText(surface));
  set(plain, "reason", optionalText(reason));
  set(plain, "field", optionalText(field));
  if (typeof value === "string" || typeof value === "boolean" || Number.isFinite(value)) plain.value = value!;
  return plain;
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

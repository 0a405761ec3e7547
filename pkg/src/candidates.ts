import type { Rows } from "./columns.js";
import { RankletError, describe } from "./reasons.js";
import type { Accessor, Accessors, Facts, Id } from "./types.js";
import { toList, toNumber, toText } from "./values.js";

type Features = Record<string, unknown>;

/** What a candidate is read by, in the engine's order: the option, what becomes of the value, and the property by default where it has another name. */
const FIELDS: readonly [name: keyof Accessors<unknown>, as: (value: unknown) => unknown, known?: string][] = [
  ["id", toText],
  ["key", toText],
  ["type", toText],
  ["serverScore", toNumber, "server_score"],
  ["value", toNumber],
  ["boost", toNumber],
  ["spendEffect", toNumber, "spend_effect"],
  ["benefitLower", toNumber, "benefit_lower"],
  ["pin", toNumber],
  ["target", toText],
  ["features", (value) => (typeof value === "object" ? value : null)],
];

/** Where each of them is found in the caller's type; the options with the defaults filled in. */
export type Reader<C> = ((candidate: C) => unknown)[];

export function makeReader<C>(options: Accessors<C>): Reader<C> {
  return FIELDS.map(([name, , known = name]) => {
    const given = options[name] as Accessor<C, unknown> | undefined;
    const property = typeof given === "string" ? given : known;
    return typeof given === "function" ? given : (candidate) => (candidate as Record<string, unknown>)[property];
  });
}

/** What was read of some objects. */
export interface Read<C> {
  /** Those that count. */
  items: C[];
  rows: Rows;
  /** What is wrong with the first that is wrong. */
  error: RankletError | null;
}

/**
 * Reads objects, each once. A row that cannot be read is left empty, and makes the request invalid. An object is passed
 * over where `held` knows its id.
 */
export function readRows<C>(reader: Reader<C>, given: readonly C[], held?: (id: string) => boolean): Read<C> {
  const columns: unknown[][] = FIELDS.map(() => []);
  const features = columns.pop() as (Features | null)[];
  const read: Read<C> = { items: [], rows: { columns: columns as Rows["columns"], features }, error: null };
  given.forEach((item, at) => {
    let row: unknown[] = [""];
    try {
      row = readRow(reader, item);
      if (held?.(row[0] as string)) return;
    } catch (thrown) {
      read.error ??= invalid(`candidate ${at}: ${describe(thrown)}`);
    }
    read.items.push(item);
    columns.forEach((column, field) => column.push(row[field] ?? null));
    features.push((row[columns.length] ?? null) as Features | null);
  });
  return read;
}

function readRow<C>(reader: Reader<C>, item: C | null | undefined): unknown[] {
  if (item === null || item === undefined) throw invalid(`is ${item}`);
  const row = FIELDS.map(([, as], field) => as(reader[field]!(item)));
  if (row[0] === null) throw invalid("has no id that is a string, a BigInt or an exact integer");
  return row;
}

export function invalid(message: string): RankletError {
  return new RankletError("request_invalid", message);
}

/** Copies of what the schema may ask for later, so that a list prepared while loading shows the values of its `prepare`. */
export function keepFeatures(rows: Rows): void {
  rows.features = rows.features.map((features) => (features ? shallow(features) : null));
}

export function keepFacts(facts: Facts | null | undefined): Facts {
  const kept: Record<string, unknown> = {};
  for (const [group, values] of Object.entries(facts ?? {})) {
    if (typeof values === "object" && values !== null) kept[group] = shallow(values as Record<string, unknown>);
  }
  return kept;
}

function shallow(values: Record<string, unknown>): Record<string, unknown> {
  const copy: Record<string, unknown> = { ...values };
  for (const name of Object.keys(copy)) copy[name] = copied(copy[name]);
  return copy;
}

/** Lists with the lists in them; what is no list as it is. Longer ones than the engine takes are missing there. */
function copied(value: unknown, depth = 1): unknown {
  const list = toList(value);
  if (list === null) return value;
  if (list.length > 0xffff) return null;
  return Array.from(list, (inner) => (depth > 0 ? copied(inner, depth - 1) : inner));
}

/** Frozen items as the engine takes them: a count of leading rows, or rows. */
export interface FrozenRows {
  count: number;
  rows: Uint32Array;
}

const NONE = new Uint32Array(0);
export const NONE_FROZEN: FrozenRows = { count: 0, rows: NONE };

/** No list holds more ids than this, so an iterable that gives more never ends. */
const MOST_FROZEN = 65_536;

export function readFrozen(frozen: number | Iterable<Id> | null | undefined, rowOf: Map<string, number>): FrozenRows {
  if (frozen === null || frozen === undefined) return NONE_FROZEN;
  if (typeof frozen === "number") {
    if (!Number.isInteger(frozen) || frozen < 0) throw invalid(`frozen is ${frozen}, not a count`);
    return { count: Math.min(frozen, rowOf.size), rows: NONE };
  }
  if (typeof frozen !== "object") throw invalid("frozen is neither a count nor ids");
  const rows = new Set<number>();
  let seen = 0;
  for (const id of frozen) {
    if (++seen > MOST_FROZEN) throw invalid("frozen names too many ids");
    const text = toText(id);
    const row = text === null ? undefined : rowOf.get(text);
    // What has left the page meanwhile needs no place.
    if (row !== undefined) rows.add(row);
  }
  return { count: -1, rows: Uint32Array.from(rows) };
}

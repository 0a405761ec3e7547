import type { Rows } from "./columns.js";
import { RankletError, describe } from "./reasons.js";
import type { Accessor, Accessors, Facts, Id } from "./types.js";
import { toList, toNumber, toText } from "./values.js";

/** Where each value of the caller's type is found; the options with the defaults filled in. */
export type Reader<C> = { [K in keyof Required<Accessors<C>>]: (candidate: C) => unknown };

const DEFAULTS: Record<keyof Accessors<unknown>, string> = {
  id: "id",
  key: "key",
  type: "type",
  features: "features",
  serverScore: "server_score",
  value: "value",
  boost: "boost",
  spendEffect: "spend_effect",
  benefitLower: "benefit_lower",
  pin: "pin",
  target: "target",
};

export function makeReader<C>(options: Accessors<C>): Reader<C> {
  const reader = {} as Record<string, (candidate: C) => unknown>;
  for (const name of Object.keys(DEFAULTS) as (keyof Accessors<C>)[]) {
    const given = options[name] as Accessor<C, unknown> | undefined;
    const property = typeof given === "string" ? given : DEFAULTS[name];
    reader[name] = typeof given === "function" ? given : (candidate) => (candidate as Record<string, unknown>)[property];
  }
  return reader as Reader<C>;
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
  const rows: Rows = {
    ids: [], keys: [], types: [], scores: [], values: [], boosts: [], spendEffects: [], benefitLowers: [], pins: [], targets: [],
    features: [],
  };
  const read: Read<C> = { items: [], rows, error: null };
  given.forEach((item, at) => {
    let row = EMPTY;
    try {
      row = readRow(reader, item);
      if (held?.(row.id)) return;
    } catch (thrown) {
      read.error ??= invalid(`candidate ${at}: ${describe(thrown)}`);
    }
    read.items.push(item);
    rows.ids.push(row.id);
    rows.keys.push(row.key);
    rows.types.push(row.type);
    rows.scores.push(row.score);
    rows.values.push(row.value);
    rows.boosts.push(row.boost);
    rows.spendEffects.push(row.spendEffect);
    rows.benefitLowers.push(row.benefitLower);
    rows.pins.push(row.pin);
    rows.targets.push(row.target);
    rows.features.push(row.features);
  });
  return read;
}

type Features = Record<string, unknown>;

const EMPTY = {
  id: "",
  key: null as string | null,
  type: null as string | null,
  score: NaN,
  value: NaN,
  boost: NaN,
  spendEffect: NaN,
  benefitLower: NaN,
  pin: NaN,
  target: null as string | null,
  features: null as Features | null,
};

function readRow<C>(reader: Reader<C>, item: C | null | undefined): typeof EMPTY {
  if (item === null || item === undefined) throw invalid(`is ${item}`);
  const id = toText(reader.id(item));
  if (id === null) throw invalid("has no id that is a string, a BigInt or an exact integer");
  const features = reader.features(item);
  return {
    id,
    key: toText(reader.key(item)),
    type: toText(reader.type(item)),
    score: toNumber(reader.serverScore(item)),
    value: toNumber(reader.value(item)),
    boost: toNumber(reader.boost(item)),
    spendEffect: toNumber(reader.spendEffect(item)),
    benefitLower: toNumber(reader.benefitLower(item)),
    pin: toNumber(reader.pin(item)),
    target: toText(reader.target(item)),
    features: typeof features === "object" ? (features as Features | null) : null,
  };
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

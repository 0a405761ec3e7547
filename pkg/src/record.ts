import { MARK_NAMES } from "./marks.js";
import { HEX, NAMES, REAL, Reader, TEXT, WHOLE, Writer, bad, type Value } from "./record-form.js";
import type { Reason } from "./reasons.js";

/** What may be recorded: nothing; what the policy decided from and what it decided; also the time and the feature rows. */
export type Consent = "none" | "aggregate" | "full";

/** A number; where JSON has none for it, a text; null: missing. */
export type Real = number | "inf" | "-inf" | "-0" | null;

/** A decision, in the keys of a record file: `ranklet replay` makes it again from this. */
export interface DecisionRecord {
  kind: "decision";
  level: "aggregate" | "full";
  source: "model" | "server";
  reason: Reason | null;
  decision_id: string | null;
  list_id: string | null;
  /** Past 2^53 a text. */
  seed: number | string | null;
  /** Ms since the epoch; level full alone. */
  now?: Real;
  surface: string | null;
  numerics: number | null;
  digests: { bundle: string; schema: string; policy: string } | null;
  /** Set where the model reads signals that stay on the device: a full record then has no feature rows. */
  withheld: "local_only" | null;
  /** Names of the heads, the primary one first. This and the next five: the model's order alone. */
  heads?: string[];
  types?: string[];
  /** How many were scored, the first in the server's order. */
  scored?: number;
  degraded?: boolean;
  /** Whether anything could have been drawn otherwise. */
  explored?: boolean;
  /** Natural logarithm of the probability of the whole list. */
  log_propensity?: Real;
  /** The features that all candidates share in inputs of their own, in the form of an item's. */
  shared?: string;
  /** In final order. */
  items: DecisionItem[];
}

export interface DecisionItem {
  id: string;
  key: string;
  /** From 1. */
  rank: number;
  /** From 1. */
  server_rank: number;
  score: Real;
  heads: Record<string, { raw: Real; calibrated: Real }>;
  utility: Real;
  propensity: Real;
  log_propensity: Real;
  suppressed: "dismissed" | "snoozed" | null;
  constraints: string[];
  /** Constraints that it breaks, since nothing that keeps them could stand there. */
  relaxed?: string[];
  type?: string;
  value?: Real;
  boost?: Real;
  spend_effect?: Real;
  benefit_lower?: Real;
  pin?: number;
  /** Items of one target have the same number. */
  target?: number;
  /** Positions that it stays out of, from the first. */
  cooldown?: number;
  fatigue?: number;
  /** What similarity is computed from: 8 hex digits, the bits of an f32, a column. */
  vector?: string;
  /** The feature row as the model saw it, in the same form. */
  features?: string;
  row_hash?: string;
}

/** An item that was seen. */
export interface ExposureRecord {
  kind: "exposure";
  decision_id: string | null;
  key: string;
  /** From 1. */
  position: number;
  visible_ms: Real;
}

/** How long after the decision: up to so much. */
export type Delay = "1s" | "10s" | "1m" | "10m" | "1h" | "1d" | "later";

/** What came of an item. */
export interface OutcomeRecord {
  kind: "outcome";
  decision_id: string | null;
  key: string;
  /** The event's type. */
  type: string;
  delay: Delay;
}

export type AnyRecord = DecisionRecord | ExposureRecord | OutcomeRecord;

/** Names of the bits of `constraints`, as the engine has them; later versions add to the end. */
const CONSTRAINTS = words("frozen suppressed spacing cap conflict fatigue cooldown dependency displacement pinned spend");

export const DELAYS = words("1s 10s 1m 10m 1h 1d later") as Delay[];

const KINDS = ["decision", "exposure", "outcome"] as const;

// Names of the fields in the order of their numbers, from 1.
const WHOLES = words(
  "level reason decision_id list_id surface seed now numerics bundle schema policy withheld explored scored log_propensity heads types " +
    "shared",
);
const ITEMS = words(
  "id key server_rank suppressed constraints utility propensity log_propensity relaxed value boost spend_effect benefit_lower pin " +
    "target cooldown fatigue type vector features row_hash",
);
const EXPOSURE = words("key position decision_id visible_ms");
const OUTCOME = words("key type decision_id delay");
/** The first and the last of the items' fields that are not whole numbers. */
const REALS = 6;
const NUMBERS = 13;
/** From here on the heads' fields: a raw value, a calibrated one. */
const HEADS = 32;

/** Items at most: more than a list holds. */
const MOST = 2 ** 20;

function words(text: string): string[] {
  return text.split(" ");
}

/** A record in the compact form. `JSON.stringify` makes its JSON form. */
export class Recorded<R extends AnyRecord = AnyRecord> {
  /** Records of this form may stand one after the other in a file. */
  readonly bytes: Uint8Array<ArrayBuffer>;

  /** @internal */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  get kind(): R["kind"] {
    return KINDS[this.bytes[2]!]!;
  }

  /** The JSON form; read when asked for. */
  toJSON(): R {
    return readRecords(this.bytes)[0] as R;
  }
}

/** The JSON form of records in the compact form, one after the other. Throws a `RankletError`, `request_invalid`, where they are none. */
export function readRecords(bytes: Uint8Array): AnyRecord[] {
  const form = new Reader(bytes);
  const records: AnyRecord[] = [];
  while (!form.done) records.push(form.frame((kind) => readOne(form, kind)));
  return records;
}

/** The decision id of a decision in the compact form. */
export function decisionOf(bytes: Uint8Array): string | null {
  const form = new Reader(bytes);
  let id: Value = null;
  form.head();
  form.fields(1, names, (_, field, value) => {
    if (WHOLES[field - 1] === "decision_id") id = value;
  });
  return id;
}

// Records are put together by the names of their fields; what comes of it is held to the schema by tests.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Loose = Record<string, any>;

function readOne(form: Reader, kind: number): AnyRecord {
  const named = [WHOLES, EXPOSURE, OUTCOME][kind];
  if (!named) throw bad("a kind that is not known");
  const record: Loose = { kind: KINDS[kind], decision_id: null };
  form.fields(1, names, (_, field, value) => (record[named[field - 1] ?? field] = value));
  if (kind === 0) return readDecision(form, record);
  if (kind === 2) record["delay"] = DELAYS[record["delay"] as number];
  else record["visible_ms"] ??= null;
  return record as AnyRecord;
}

function readDecision(form: Reader, found: Loose): DecisionRecord {
  const { level, reason = null, decision_id, list_id = null, surface = null, seed = null, now = null, numerics = null } = found;
  const { bundle, schema, policy, withheld, explored, scored, log_propensity, heads = [], types = [], shared } = found;
  const n = form.varint();
  if (n > MOST) throw bad("too many items");
  const model = scored !== undefined;
  const items: Loose[] = Array.from({ length: n }, (_, place) => ({
    id: "", key: null, rank: place + 1, server_rank: 0, score: null, heads: {}, utility: null, propensity: 1, log_propensity: 0,
    suppressed: null, constraints: [],
  }));
  // By head its raw values, then its calibrated ones, by place.
  const cells: Value[][] = [];
  form.fields(n, names, (place, field, value) => {
    const item = items[place]!;
    // A whole number of an item is 0 where there is none, and no name says nothing.
    if (value === null || (value === 0 && (field < REALS || field > NUMBERS)) || (value as string[]).length === 0) return;
    if (field < HEADS) {
      const name = ITEMS[field - 1] ?? String(field);
      if (name === "suppressed") value = MARK_NAMES[value as number] ?? null;
      item[name] = name === "type" ? types[(value as number) - 1] : value;
      return;
    }
    (cells[field - HEADS] ??= [])[place] = value;
  });
  items.forEach((item, place) => {
    item["key"] ??= item["id"];
    if (!(item["server_rank"] <= scored)) return;
    const cell = (which: number) => cells[which]?.[place] ?? null;
    item["heads"] = Object.fromEntries(heads.map((name: string, at: number) => [name, { raw: cell(2 * at), calibrated: cell(2 * at + 1) }]));
    item["score"] = cell(1);
  });
  return {
    kind: "decision",
    level: level === 2 ? "full" : "aggregate",
    source: reason === null ? "model" : "server",
    reason, decision_id, list_id, seed,
    ...(level === 2 && { now }),
    surface, numerics,
    digests: bundle === undefined ? null : { bundle, schema, policy },
    withheld: withheld ? "local_only" : null,
    ...(model && { heads, types, scored, degraded: scored < n, explored: explored === 1, log_propensity }),
    ...(shared !== undefined && { shared }),
    items: items as DecisionItem[],
  };
}

function names(bits: number): string[] {
  return CONSTRAINTS.filter((_, bit) => (bits >> bit) & 1);
}

/** A decision that no engine made: the server's order. */
export interface Fallback {
  level: "aggregate" | "full";
  reason: string;
  decisionId: string | null;
  listId: string | null;
  surface: string | null;
  numerics: number | null;
  digests: { bundle: string; schema: string; policy: string } | null;
  now: number;
  /** In final order. */
  items: { id: string; key: string; row: number; mark: number; frozen: boolean }[];
}

export function writeFallback(fallback: Fallback): Uint8Array<ArrayBuffer> {
  const { level, reason, decisionId, listId, surface, numerics, digests, now, items } = fallback;
  const form = new Writer();
  form.field(1, WHOLE, level === "full" ? 2 : 1);
  [reason, decisionId, listId, surface].forEach((text, at) => form.field(at + 2, TEXT, text));
  if (level === "full") form.field(7, REAL, now);
  form.field(8, WHOLE, numerics);
  if (digests) [digests.bundle, digests.schema, digests.policy].forEach((digest, at) => form.field(at + 9, HEX, digest));
  form.varint(0);
  form.varint(items.length);
  form.column(1, TEXT, items.map(({ id }) => id));
  if (items.some(({ id, key }) => id !== key)) form.column(2, TEXT, items.map(({ key }) => key));
  form.column(3, WHOLE, items.map(({ row }) => row + 1));
  form.column(4, WHOLE, items.map(({ mark }) => mark));
  form.column(5, NAMES, items.map(({ mark, frozen }) => (frozen ? 1 : 0) + (mark > 0 ? 2 : 0)));
  form.varint(0);
  return form.finish(0);
}

export function writeExposure(decisionId: string | null, key: string, position: number, visibleMs: number): Uint8Array<ArrayBuffer> {
  const form = new Writer();
  form.field(1, TEXT, key);
  form.field(2, WHOLE, position);
  form.field(3, TEXT, decisionId);
  form.field(4, REAL, visibleMs);
  form.varint(0);
  return form.finish(1);
}

export function writeOutcome(decisionId: string | null, key: string, type: string, delay: number): Uint8Array<ArrayBuffer> {
  const form = new Writer();
  form.field(1, TEXT, key);
  form.field(2, TEXT, type);
  form.field(3, TEXT, decisionId);
  form.field(4, WHOLE, delay);
  form.varint(0);
  return form.finish(2);
}

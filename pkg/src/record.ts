import { DECISION, EXPOSURE, OUTCOME, Reader, Writer, bad } from "./record-form.js";
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
const CONSTRAINTS = [
  "frozen", "suppressed", "spacing", "cap", "conflict", "fatigue", "cooldown", "dependency", "displacement", "pinned", "spend",
];

export const DELAYS: readonly Delay[] = ["1s", "10s", "1m", "10m", "1h", "1d", "later"];

/** Items at most: more than a list holds. */
const MOST = 2 ** 20;

/** A record in the compact form. `JSON.stringify` makes its JSON form. */
export class Recorded<R extends AnyRecord = AnyRecord> {
  /** Records of this form may stand one after the other in a file. */
  readonly bytes: Uint8Array<ArrayBuffer>;

  /** @internal */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  get kind(): R["kind"] {
    return (["decision", "exposure", "outcome"] as const)[this.bytes[2]!]!;
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

function readOne(form: Reader, kind: number): AnyRecord {
  if (kind === DECISION) return readDecision(form);
  if (kind !== EXPOSURE && kind !== OUTCOME) throw bad(`kind ${kind}`);
  const decision_id = form.byte() === 1 ? form.text() : null;
  const key = form.text();
  if (kind === EXPOSURE) return { kind: "exposure", decision_id, key, position: form.varint(), visible_ms: real(form.real()) };
  const type = form.text();
  const delay = DELAYS[form.varint()];
  if (delay === undefined) throw bad("a delay that is not known");
  return { kind: "outcome", decision_id, key, type, delay };
}

function readDecision(form: Reader): DecisionRecord {
  const level = form.varint() === 2 ? "full" : "aggregate";
  const flags = form.varint();
  const has = (bit: number) => ((flags >> bit) & 1) === 1;
  const reason = form.text() || null;
  const [decision_id, list_id, surface] = [0, 1, 2].map((bit) => (has(bit) ? form.text() : null)) as [string | null, string | null, string | null];
  const seed = has(3) ? form.whole() : null;
  const numerics = form.varint() || null;
  const digests = has(4) ? { bundle: form.hex(), schema: form.hex(), policy: form.hex() } : null;
  const record: DecisionRecord = {
    kind: "decision",
    level,
    source: reason === null ? "model" : "server",
    reason,
    decision_id,
    list_id,
    seed: seed === null ? null : seed < 2n ** 53n ? Number(seed) : String(seed),
    ...(level === "full" ? { now: real(form.real()) } : {}),
    surface,
    numerics,
    digests,
    withheld: has(5) ? "local_only" : null,
    items: [],
  };
  const items = readItems(form);
  if (has(6)) readDecided(form, record, items, has(7));
  if (has(8)) {
    const width = form.varint();
    const n = items.length;
    const hashes = form.column(n, 0, () => form.word());
    form.rows(n, width).forEach((row, at) => {
      items[at]!.features = row;
      items[at]!.row_hash = hashes[at]!.toString(16).padStart(8, "0");
    });
  }
  // Last, as in the native form.
  delete (record as Partial<DecisionRecord>).items;
  return { ...record, items };
}

function readItems(form: Reader): DecisionItem[] {
  const n = form.varint();
  if (n > MOST) throw bad(`${n} items`);
  const items: DecisionItem[] = [];
  for (let rank = 1; rank <= n; rank++) {
    const id = form.text();
    const length = form.varint();
    items.push({
      id,
      key: length === 0 ? id : form.text(length - 1),
      rank,
      server_rank: 0,
      score: null,
      heads: {},
      utility: null,
      propensity: 1,
      log_propensity: 0,
      suppressed: null,
      constraints: [],
    });
  }
  const rows = form.wholes(n, -1);
  const marks = form.wholes(n, 0);
  const constraints = form.wholes(n, 0);
  items.forEach((item, at) => {
    item.server_rank = rows[at]! + 1;
    item.suppressed = ([null, "dismissed", "snoozed"] as const)[marks[at]!] ?? null;
    item.constraints = names(constraints[at]!);
  });
  return items;
}

function readDecided(form: Reader, record: DecisionRecord, items: DecisionItem[], explored: boolean): void {
  const n = items.length;
  const scored = form.varint();
  const heads: string[] = [];
  for (let left = form.varint(); left > 0; left--) {
    const name = form.text();
    const raw = form.column(n, NaN, () => form.single());
    const calibrated = form.reals(n, NaN);
    items.forEach((item, at) => {
      if (item.server_rank > scored) return;
      // As the property it is, whatever its name.
      Object.defineProperty(item.heads, name, {
        value: { raw: real(raw[at]!), calibrated: real(calibrated[at]!) }, enumerable: true, configurable: true, writable: true,
      });
      if (heads.length === 0) item.score = real(calibrated[at]!);
    });
    heads.push(name);
  }
  const whole = real(form.real());
  for (const [name, absent] of [["utility", NaN], ["propensity", 1], ["log_propensity", 0]] as const) {
    form.reals(n, absent).forEach((value, at) => (items[at]![name] = real(value)));
  }
  form.wholes(n, 0).forEach((bits, at) => {
    if (bits > 0) items[at]!.relaxed = names(bits);
  });
  const reals = ["value", "boost", "spend_effect", "benefit_lower"] as const;
  const given = reals.map(() => form.reals(n, NaN));
  const wholes = ["pin", "target", "cooldown", "fatigue"] as const;
  const counts = wholes.map(() => form.wholes(n, 0));
  const types: string[] = [];
  for (let left = form.varint(); left > 0; left--) types.push(form.text());
  form.wholes(n, 0).forEach((type, at) => {
    const item = items[at]!;
    if (type > 0) item.type = types[type - 1]!;
    reals.forEach((name, which) => {
      const value = given[which]![at]!;
      if (!Number.isNaN(value)) item[name] = real(value);
    });
    wholes.forEach((name, which) => {
      const value = counts[which]![at]!;
      if (value > 0) item[name] = value;
    });
  });
  const width = form.varint();
  if (width > 0) form.rows(n, width).forEach((row, at) => (items[at]!.vector = row));
  Object.assign(record, { heads, types, scored, degraded: scored < n, explored, log_propensity: whole });
}

function names(bits: number): string[] {
  const all: string[] = [];
  for (let bit = 0; 2 ** bit <= bits; bit++) {
    if (Math.floor(bits / 2 ** bit) % 2 === 1) all.push(CONSTRAINTS[bit] ?? `bit ${bit}`);
  }
  return all;
}

function real(x: number): Real {
  if (Number.isNaN(x)) return null;
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  return Object.is(x, -0) ? "-0" : x;
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

export function writeFallback({ level, reason, decisionId, listId, surface, numerics, digests, now, items }: Fallback): Uint8Array<ArrayBuffer> {
  const form = new Writer();
  const texts = [decisionId, listId, surface];
  const flags = texts.reduce((sum, text, bit) => sum + (text === null ? 0 : 2 ** bit), digests ? 16 : 0);
  form.varint(level === "full" ? 2 : 1);
  form.varint(flags);
  form.text(reason);
  for (const text of texts) if (text !== null) form.text(text);
  form.varint(numerics ?? 0);
  if (digests) for (const digest of [digests.bundle, digests.schema, digests.policy]) form.hex(digest);
  if (level === "full") form.real(now);
  form.varint(items.length);
  for (const { id, key } of items) {
    form.text(id);
    if (key === id) form.varint(0);
    else form.text(key, 1);
  }
  form.column(items.map(({ row }) => row), -1);
  form.column(items.map(({ mark }) => mark), 0);
  form.column(items.map(({ mark, frozen }) => (frozen ? 1 : 0) + (mark > 0 ? 2 : 0)), 0);
  return form.finish(DECISION);
}

export function writeExposure(decisionId: string | null, key: string, position: number, visibleMs: number): Uint8Array<ArrayBuffer> {
  const form = joined(decisionId, key);
  form.varint(position);
  form.real(visibleMs);
  return form.finish(EXPOSURE);
}

export function writeOutcome(decisionId: string | null, key: string, type: string, delay: number): Uint8Array<ArrayBuffer> {
  const form = joined(decisionId, key);
  form.text(type);
  form.varint(delay);
  return form.finish(OUTCOME);
}

function joined(decisionId: string | null, key: string): Writer {
  const form = new Writer();
  form.varint(decisionId === null ? 0 : 1);
  if (decisionId !== null) form.text(decisionId);
  form.text(key);
  return form;
}

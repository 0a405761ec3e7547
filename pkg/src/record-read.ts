import { MARK_NAMES } from "./marks.js";
import { Reader, bad, type Value } from "./record-reader.js";
import type { AnyRecord, DecisionItem, DecisionRecord, Delay } from "./record.js";

/** Names of the bits of `constraints`, as the engine has them; later versions add to the end. */
const CONSTRAINTS = words("frozen suppressed spacing cap conflict fatigue cooldown dependency displacement pinned spend");

const DELAYS = words("1s 10s 1m 10m 1h 1d later") as Delay[];

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

/** The JSON form of records in the compact form, one after the other. Throws a `RankletError`, `request_invalid`, where they are none. */
export function readRecords(bytes: Uint8Array): AnyRecord[] {
  const form = new Reader(bytes);
  const records: AnyRecord[] = [];
  while (!form.done) records.push(form.frame((kind) => readOne(form, kind)));
  return records;
}

/** The one decision of `ranking.record()`, or of a call of `onRecord` that is one. Throws a `RankletError`, `request_invalid`, for anything else. */
export function readDecision(bytes: Uint8Array): DecisionRecord {
  const [record, another] = readRecords(bytes);
  if (record?.kind !== "decision" || another) throw bad("it is not one decision");
  return record;
}

// Records are put together by the names of their fields; what comes of it is held to the schema by tests.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Loose = Record<string, any>;

function readOne(form: Reader, kind: number): AnyRecord {
  const named = [WHOLES, EXPOSURE, OUTCOME][kind];
  if (!named) throw bad("a kind that is not known");
  const record: Loose = { kind: KINDS[kind], decision_id: null };
  form.fields(1, names, (_, field, value) => (record[named[field - 1] ?? field] = value));
  if (kind === 0) return decisionFrom(form, record);
  if (kind === 2) record["delay"] = DELAYS[record["delay"] as number];
  else record["visible_ms"] ??= null;
  return record as AnyRecord;
}

function decisionFrom(form: Reader, found: Loose): DecisionRecord {
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


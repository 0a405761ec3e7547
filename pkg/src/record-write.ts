import { HEX, MAGIC, NAMES, REAL, TEXT, VERSION, WHOLE } from "./record-form.js";

type Bytes = Uint8Array<ArrayBuffer>;

/** Seven bits a byte, the lowest first. */
function varint(x: number): number[] {
  return x > 127 ? [(x % 128) | 128, ...varint(Math.floor(x / 128))] : [x];
}

function encoded(how: number, value: string | number): number[] {
  if (typeof value !== "string") return how === REAL ? [...new Uint8Array(Float64Array.of(value).buffer)] : varint(value);
  const bytes = how === HEX ? (value.match(/../g) ?? []).map((pair) => parseInt(pair, 16)) : [...new TextEncoder().encode(value)];
  return [...varint(bytes.length), ...bytes];
}

/** A field of the whole record, if there is a value. */
function field(field: number, how: number, value: string | number | null): number[] {
  return value === null ? [] : [field, how * 2, ...encoded(how, value)];
}

/** A field of each item: one value where all are alike, none where they are 0; a text for each in any case. */
function column(at: number, how: number, values: readonly (string | number)[]): number[] {
  const [first] = values;
  if (how !== TEXT && values.every((value) => value === first)) return field(at, how, first || null);
  return [at, how * 2 + 1, ...values.flatMap((value) => encoded(how, value))];
}

/** A record of a kind; the 0 at the end of its fields is added. */
function framed(kind: number, ...fields: number[][]): Bytes {
  const body = [...fields.flat(), 0];
  return Uint8Array.from([MAGIC, VERSION, kind, ...varint(body.length), ...body]);
}

/** A decision that no engine made: the server's order. */
export interface Fallback {
  full: boolean;
  reason: string | null;
  decisionId: string | null;
  listId: string | null;
  surface: string | null;
  /** Of the engine that is there all the same. */
  info: { numerics: number; digests: { bundle: string; schema: string; policy: string } } | null;
  now: number;
  /** By place in the final order: the row. */
  order: ArrayLike<number>;
  /** By row. */
  ids: readonly string[];
  keys: readonly string[];
  suppressed: ArrayLike<number>;
  frozen: ArrayLike<number> | null;
}

export function writeFallback(fallback: Fallback): Bytes {
  const { full, reason, decisionId, listId, surface, info, now, order, ids, keys, suppressed, frozen } = fallback;
  const rows = Array.from(order);
  const id = (row: number) => ids[row] ?? "";
  const key = (row: number) => keys[row] ?? id(row);
  const digests = info && [info.digests.bundle, info.digests.schema, info.digests.policy];
  return framed(
    0,
    field(1, WHOLE, full ? 2 : 1),
    ...[reason, decisionId, listId, surface].map((text, at) => field(at + 2, TEXT, text)),
    field(7, REAL, full ? now : null),
    field(8, WHOLE, info && info.numerics),
    ...(digests ?? []).map((digest, at) => field(at + 9, HEX, digest)),
    [0, ...varint(rows.length)],
    column(1, TEXT, rows.map(id)),
    rows.some((row) => id(row) !== key(row)) ? column(2, TEXT, rows.map(key)) : [],
    column(3, WHOLE, rows.map((row) => row + 1)),
    column(4, WHOLE, rows.map((row) => suppressed[row] ?? 0)),
    column(5, NAMES, rows.map((row) => (frozen?.[row] ? 1 : 0) + (suppressed[row] ? 2 : 0))),
  );
}

export function writeExposure(decisionId: string | null, key: string, position: number, visibleMs: number): Bytes {
  return framed(1, field(1, TEXT, key), field(2, WHOLE, position), field(3, TEXT, decisionId), field(4, REAL, visibleMs));
}

/** `delay`: the bucket's number. */
export function writeOutcome(decisionId: string | null, key: string, type: string, delay: number): Bytes {
  return framed(2, field(1, TEXT, key), field(2, TEXT, type), field(3, TEXT, decisionId), field(4, WHOLE, delay));
}

/** The decision id of a decision, whoever wrote it. */
export function decisionOf(bytes: Uint8Array): string | null {
  let at = 3;
  const whole = () => {
    let x = 0;
    let scale = 1;
    let byte;
    do {
      byte = bytes[at++]!;
      x += (byte & 127) * scale;
      scale *= 128;
    } while (byte > 127);
    return x;
  };
  // The length, and the level: a field, its form and one digit.
  whole();
  at += 3;
  // Then the reason and the decision id, each if there is one.
  for (let field; (field = bytes[at]!) === 2 || field === 3; ) {
    at += 2;
    const length = whole();
    const text = bytes.subarray(at, (at += length));
    if (field === 3) return new TextDecoder("utf-8", { ignoreBOM: true }).decode(text);
  }
  return null;
}

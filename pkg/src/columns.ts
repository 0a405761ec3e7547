import type { ColumnInfo } from "./engine.js";
import type { Facts } from "./types.js";
import { toList, toNumber, toText } from "./values.js";

/** One request or some candidates in schema order, as the engine takes them. */
export interface Encoded {
  n: number;
  columns: Float64Array;
  pool: string;
  lengths: Uint32Array;
  /** Of the plan that it was made by. */
  key: string;
}

/** What was read from the candidates once: parallel arrays, one value a row. */
export interface Rows {
  /**
   * Ids, keys, types, server scores, values, boosts, spend effects, lower bounds of benefit, pins, targets: the columns that every
   * bundle has, in its order. Null: missing; of a key: the same as the id.
   */
  columns: [ids: string[], keys: (string | null)[], types: (string | null)[], ...others: (number | string | null)[][]];
  features: (Record<string, unknown> | null)[];
}

/** How a value is read: its kind, and of lists of numbers how many each vector has. */
type Form = Pick<ColumnInfo, "kind" | "width">;

/** The schema's columns with their paths taken apart, once for each engine. */
export interface ColumnPlan {
  features: (Form & { name: string })[];
  facts: (Form & { group: keyof Facts; name: string })[];
  /** The same for the same columns. */
  key: string;
}

/** A list's cell is start x MOST + count, so it holds fewer values than that. */
const MOST = 0x10000;

/** How many candidate columns every bundle has: `Rows.columns`. */
const FIXED = 10;

export function planColumns(columns: readonly ColumnInfo[]): ColumnPlan {
  const candidate = columns.filter((column) => column.per === "candidate").slice(FIXED);
  const request = columns.filter((column) => column.per === "request");
  return {
    features: candidate.map(({ path, kind, width }) => ({ name: path.replace(/^(candidate\.)?features\./, ""), kind, width })),
    facts: request.map(({ path, kind, width }) => {
      const [, group, name] = /^(?:facts\.)?(\w+)\.(.+)$/s.exec(path) ?? [];
      return { group: group as keyof Facts, name: name ?? "", kind, width };
    }),
    key: JSON.stringify(columns),
  };
}

/** The request's scalars, missing without facts, then each candidate column whole. */
export function encode(plan: ColumnPlan, rows: Rows, facts: Facts | null): Encoded {
  const n = rows.columns[0].length;
  const columns = new Float64Array(plan.facts.length + n * (FIXED + plan.features.length));
  const pool = new Pool();
  writeFacts(plan, facts, columns, pool);
  let at = plan.facts.length;
  for (const column of rows.columns) {
    for (const value of column) columns[at++] = typeof value === "string" ? pool.add(value) : (value ?? NaN);
  }
  for (const form of plan.features) {
    for (let row = 0; row < n; row++, at++) {
      const features = rows.features[row];
      columns[at] = features ? cell(features[form.name], form, pool) : NaN;
    }
  }
  return pool.encoded(n, columns, plan);
}

export function encodeFacts(plan: ColumnPlan, facts: Facts): Encoded {
  const columns = new Float64Array(plan.facts.length);
  const pool = new Pool();
  writeFacts(plan, facts, columns, pool);
  return pool.encoded(0, columns, plan);
}

function writeFacts(plan: ColumnPlan, facts: Facts | null, columns: Float64Array, pool: Pool): void {
  plan.facts.forEach((form, at) => {
    const values = facts?.[form.group] as Record<string, unknown> | null | undefined;
    columns[at] = values == null ? NaN : cell(values[form.name], form, pool);
  });
}

/** A value as its cell; whatever has the wrong type or shape is missing. */
function cell(value: unknown, { kind, width }: Form, pool: Pool): number {
  if (kind === "number") return toNumber(value);
  if (kind === "string") {
    const text = toText(value);
    return text === null ? NaN : pool.add(text);
  }
  const list = toList(value);
  if (list === null) return NaN;
  return kind === "strings" ? pool.run(list) : pool.vectors(list, width);
}

/**
 * Strings travel as one text and their lengths; a cell is an index. Repeated categories are sent once. The numbers of
 * lists travel behind the columns.
 */
class Pool {
  readonly #parts: string[] = [];
  readonly #numbers: number[] = [];
  readonly #known = new Map<string, number>();

  add(text: string): number {
    let index = this.#known.get(text);
    if (index === undefined) {
      index = this.#parts.push(text) - 1;
      this.#known.set(text, index);
    }
    return index;
  }

  /** Several texts in a row, as start x 65,536 + count. What is no text keeps its place, empty. */
  run(values: ArrayLike<unknown>): number {
    if (values.length >= MOST) return NaN;
    const start = this.#parts.length;
    for (let at = 0; at < values.length; at++) this.#parts.push(toText(values[at]) ?? "");
    return start * MOST + values.length;
  }

  /** Numbers in a row, or lists of `width` of them each; NaN for any other shape. What is no number keeps its place, missing. */
  vectors(values: ArrayLike<unknown>, width: number): number {
    const numbers = this.#numbers;
    const start = numbers.length;
    let nested = false;
    let fits = true;
    for (let at = 0; at < values.length && fits; at++) {
      const value = values[at];
      const list = toList(value);
      if (at === 0) nested = list !== null;
      fits = (nested ? list?.length === width : list === null) && numbers.length - start < MOST;
      if (list === null) numbers.push(toNumber(value));
      else for (let i = 0; i < width && fits; i++) numbers.push(toNumber(list[i]));
    }
    const count = numbers.length - start;
    if (fits && count % width === 0 && count < MOST) return start * MOST + count;
    numbers.length = start;
    return NaN;
  }

  encoded(n: number, columns: Float64Array, { key }: ColumnPlan): Encoded {
    let all = columns;
    if (this.#numbers.length > 0) {
      all = new Float64Array(columns.length + this.#numbers.length);
      all.set(columns);
      all.set(this.#numbers, columns.length);
    }
    return { n, columns: all, pool: this.#parts.join(""), lengths: Uint32Array.from(this.#parts, (part) => part.length), key };
  }
}

import type { ColumnInfo } from "./engine.js";
import type { Facts } from "./types.js";
import { toNumber, toText } from "./values.js";

/** One request or some candidates in schema order, as the engine takes them. */
export interface Encoded {
  n: number;
  columns: Float64Array;
  pool: string;
  lengths: Uint32Array;
}

/** What was read from the candidates once: parallel arrays, one value a row. */
export interface Rows {
  ids: string[];
  /** Null: the same as the id. */
  keys: (string | null)[];
  types: (string | null)[];
  scores: number[];
  values: number[];
  boosts: number[];
  spendEffects: number[];
  benefitLowers: number[];
  pins: number[];
  /** Null: about nothing that others are about. */
  targets: (string | null)[];
  features: (Record<string, unknown> | null)[];
}

type Kind = ColumnInfo["kind"];

/** The schema's columns with their paths taken apart, once for each engine. */
export interface ColumnPlan {
  features: { name: string; kind: Kind }[];
  facts: { group: keyof Facts; name: string; kind: Kind }[];
}

/**
 * Candidate columns that every bundle has, in this order: id, key, type, server_score, value, boost, spend_effect,
 * benefit_lower, pin, target.
 */
const FIXED = 10;

export function planColumns(columns: readonly ColumnInfo[]): ColumnPlan {
  const candidate = columns.filter((column) => column.per === "candidate").slice(FIXED);
  const request = columns.filter((column) => column.per === "request");
  return {
    features: candidate.map(({ path, kind }) => ({ name: path.replace(/^(candidate\.)?features\./, ""), kind })),
    facts: request.map(({ path, kind }) => {
      const [, group, name] = /^(?:facts\.)?(\w+)\.(.+)$/s.exec(path) ?? [];
      return { group: group as keyof Facts, name: name ?? "", kind };
    }),
  };
}

/** The request's scalars, missing without facts, then each candidate column whole. */
export function encode(plan: ColumnPlan, rows: Rows, facts: Facts | null): Encoded {
  const n = rows.ids.length;
  const scalars = plan.facts.length;
  const columns = new Float64Array(scalars + n * (FIXED + plan.features.length));
  const pool = new Pool();
  writeFacts(plan, facts, columns, pool);
  let at = scalars;
  for (let row = 0; row < n; row++, at++) columns[at] = pool.add(rows.ids[row]!);
  const putTexts = (texts: readonly (string | null)[]) => {
    for (let row = 0; row < n; row++, at++) {
      const text = texts[row];
      columns[at] = text == null ? NaN : pool.add(text);
    }
  };
  putTexts(rows.keys);
  putTexts(rows.types);
  for (const numbers of [rows.scores, rows.values, rows.boosts, rows.spendEffects, rows.benefitLowers, rows.pins]) {
    columns.set(numbers, at);
    at += n;
  }
  putTexts(rows.targets);
  for (const { name, kind } of plan.features) {
    for (let row = 0; row < n; row++, at++) {
      const features = rows.features[row];
      columns[at] = features ? cell(features[name], kind, pool) : NaN;
    }
  }
  return { n, columns, pool: pool.text(), lengths: pool.lengths() };
}

export function encodeFacts(plan: ColumnPlan, facts: Facts): Encoded {
  const columns = new Float64Array(plan.facts.length);
  const pool = new Pool();
  writeFacts(plan, facts, columns, pool);
  return { n: 0, columns, pool: pool.text(), lengths: pool.lengths() };
}

function writeFacts(plan: ColumnPlan, facts: Facts | null, columns: Float64Array, pool: Pool): void {
  plan.facts.forEach(({ group, name, kind }, at) => {
    const values = facts?.[group] as Record<string, unknown> | null | undefined;
    columns[at] = values == null ? NaN : cell(values[name], kind, pool);
  });
}

/** A value as its cell; whatever has the wrong type is missing. */
function cell(value: unknown, kind: Kind, pool: Pool): number {
  if (kind === "number") return toNumber(value);
  if (kind === "string") {
    const text = toText(value);
    return text === null ? NaN : pool.add(text);
  }
  return Array.isArray(value) ? pool.run(value) : NaN;
}

/** Strings travel as one text and their lengths; a cell is an index. Repeated categories are sent once. */
class Pool {
  readonly #parts: string[] = [];
  readonly #known = new Map<string, number>();

  add(text: string): number {
    let index = this.#known.get(text);
    if (index === undefined) {
      index = this.#parts.push(text) - 1;
      this.#known.set(text, index);
    }
    return index;
  }

  /** Several texts in a row, as start x 65,536 + count. */
  run(values: readonly unknown[]): number {
    if (values.length >= 0x10000) return NaN;
    const start = this.#parts.length;
    for (const value of values) {
      const text = toText(value);
      if (text !== null) this.#parts.push(text);
    }
    return start * 0x10000 + (this.#parts.length - start);
  }

  text(): string {
    return this.#parts.join("");
  }

  lengths(): Uint32Array {
    return Uint32Array.from(this.#parts, (part) => part.length);
  }
}

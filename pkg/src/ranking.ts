import { HEADER, ITEM, type EngineInfo } from "./engine.js";
import { MARK_NAMES } from "./marks.js";
import type { Reason } from "./reasons.js";
import { writeFallback } from "./record-write.js";
import type { Recorder, Records } from "./recorder.js";
import type { Names, Prepared } from "./request.js";
import type { Entry, HeadScore, Id } from "./types.js";
import { toText } from "./values.js";

/** What a re-rank found, by row of the response. */
export interface Ranked {
  /** Rows in final order. */
  order: Uint32Array;
  /** A mark for each row. */
  suppressed: Uint8Array;
  /** A flag for each row that was frozen; null where the engine says it. */
  frozen: Uint8Array | null;
  /** Null: the model's order. */
  reason: Reason | null;
  detail: string;
  now: number;
  /** The engine's answer; null when there was none. */
  values: Float64Array | null;
  info: EngineInfo | null;
  /** The engine's record of the list's last decision, in the compact form. */
  record: ((full: boolean) => Uint8Array<ArrayBuffer> | null) | null;
}

/** One answer of `rerank`. A ranking does not change; a later one is another object. */
export class Ranking<C = unknown> {
  /** The caller's own objects, every one of them, in order. */
  readonly items: C[];
  readonly source: "model" | "server";
  /** Why it is the server's order; null for the model's. */
  readonly reason: Reason | null;
  /** One line for a person; empty when there is nothing to say. */
  readonly detail: string;
  /** Candidates that the model was run for; the others' features had not changed by a bit. */
  readonly rowsRun: number;
  /** Whether a work budget left candidates without a score: they follow the others in the server's order. */
  readonly degraded: boolean;
  readonly #ranked: Ranked;
  readonly #names: Names;
  readonly #request: Prepared<C>;
  readonly #isLast: () => boolean;
  readonly #records: Records;
  readonly #recorder: Recorder | undefined;
  #entries: Entry<C>[] | undefined;
  #record: Uint8Array<ArrayBuffer> | null | undefined;

  /** @internal */
  constructor(
    ranked: Ranked,
    items: readonly C[],
    names: Names,
    request: Prepared<C>,
    isLast: () => boolean,
    records: Records,
    recorder: Recorder | undefined,
  ) {
    this.#ranked = ranked;
    this.#records = records;
    this.#recorder = recorder;
    this.#names = names;
    this.#request = request;
    this.#isLast = isLast;
    this.items = Array.from(ranked.order, (row) => items[row]!);
    this.source = ranked.reason === null ? "model" : "server";
    this.reason = ranked.reason;
    this.detail = ranked.detail;
    this.rowsRun = ranked.values?.[4] ?? 0;
    this.degraded = ranked.reason === null && !!ranked.values && ranked.values[5]! < ranked.values[2]!;
  }

  /** One entry for each item, in the same order; made when first asked for. */
  get entries(): Entry<C>[] {
    return (this.#entries ??= this.items.map((item, place) => this.#entry(item, place)));
  }

  /**
   * The decision record in the compact form, at the level that `consent` allows; level full where the options say nothing of it.
   * `readDecision` of `ranklet/records` gives its JSON form. Null without consent, and once the list was ranked again: ask before.
   */
  record(): Uint8Array<ArrayBuffer> | null {
    if (this.#record === undefined) {
      const consent = this.#records.consent("full");
      this.#record = consent === "none" ? null : this.#bytes(consent === "full");
    }
    return this.#record;
  }

  /** Tells `onRecord` that an item, by its id, was visible for so many ms where this ranking put it. Never throws. */
  exposed(id: Id, visibleMs: number): void {
    const row = this.#names.rowOf.get(toText(id) ?? "");
    if (row === undefined || !(visibleMs >= 0)) return;
    this.#recorder?.exposed(this.#ranked, this.#names.keys[row]!, this.#ranked.order.indexOf(row) + 1, visibleMs);
  }

  /** @internal Has the decision told. */
  tell(): void {
    this.#recorder?.decided(this.#ranked, this.#names, (full) => this.#bytes(full));
  }

  #entry(item: C, place: number): Entry<C> {
    const { order, suppressed, frozen, values, info } = this.#ranked;
    const row = order[place]!;
    const id = this.#names.ids[row] ?? "";
    const entry: Entry<C> = {
      item,
      id,
      key: this.#names.keys[row] ?? id,
      rank: place + 1,
      serverRank: row + 1,
      score: null,
      heads: {},
      utility: null,
      propensity: 1,
      suppressed: MARK_NAMES[suppressed[row] ?? 0]!,
      constraints: [],
      relaxed: [],
    };
    if (!values || !info) {
      if (frozen?.[row]) entry.constraints.push("frozen");
      if (entry.suppressed) entry.constraints.push("suppressed");
      return entry;
    }
    const at = HEADER + place * (ITEM + 2 * values[3]!);
    const named = (bits: number) => info.constraints.filter((_, bit) => Math.floor(bits / 2 ** bit) % 2 === 1);
    entry.constraints = named(values[at + 7]!);
    entry.relaxed = named(values[at + 8]!);
    if (this.source === "server") return entry;
    entry.score = number(values[at + 2]);
    entry.utility = number(values[at + 3]);
    entry.propensity = values[at + 4]!;
    info.heads.forEach((name, head) => {
      entry.heads[name] = headScore(values, at + ITEM + 2 * head);
    });
    return entry;
  }

  /** The record in the compact form; null where it cannot be had any more. */
  #bytes(full: boolean): Uint8Array<ArrayBuffer> | null {
    const { record } = this.#ranked;
    if (!record) return writeFallback({ ...this.#request, ...this.#names, ...this.#ranked, full });
    if (!this.#isLast()) return null;
    try {
      return record(full);
    } catch {
      return null;
    }
  }
}

function headScore(values: Float64Array, at: number): HeadScore {
  return { raw: number(values[at]), calibrated: number(values[at + 1]) };
}

function number(value: number | undefined): number | null {
  return value === undefined || Number.isNaN(value) ? null : value;
}

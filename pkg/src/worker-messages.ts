import type { Rows } from "./columns.js";
import type { Ranking } from "./ranking.js";
import type { Reason } from "./reasons.js";
import type { Entry, Facts, Id, LocalEvent, SessionOptions, SignalOptions, Status } from "./types.js";
import { toList } from "./values.js";

// A browser's and Node's own types of the same methods agree in nothing narrower.
/* eslint-disable @typescript-eslint/no-explicit-any */
/** A worker, a port of one, or the inside of one: in a browser or in Node. */
export interface Port {
  postMessage(message: any, transfer?: any): void;
  addEventListener?(type: string, listener: (event: any) => void): void;
  /** Node's, of workers. */
  on?(type: string, listener: (data: any) => void): unknown;
  start?(): void;
  close?(): void;
  terminate?(): unknown;
  ref?(): void;
  unref?(): void;
}
/* eslint-enable @typescript-eslint/no-explicit-any */

/** Has a port's messages and failures told, whichever kind of port it is. */
export function listen(port: Port, told: (message: unknown) => void, failed: (thrown: unknown) => void): void {
  if (port.addEventListener) {
    port.addEventListener("message", ({ data }: { data: unknown }) => told(data));
    port.addEventListener("messageerror", () => failed(new Error("a message could not be read")));
    port.addEventListener("error", (event: { message?: string; preventDefault?(): void }) => {
      // Dealt with here: a page's own handler of errors is not told.
      event.preventDefault?.();
      failed(new Error(event.message || "the worker did not start"));
    });
    port.start?.();
  } else {
    port.on?.("message", told);
    port.on?.("messageerror", failed);
    port.on?.("error", failed);
    port.on?.("exit", () => failed(new Error("the worker ended")));
  }
}

/** Where bytes come from, as it crosses: text, a URL's text, bytes, a compiled module, or nothing yet. */
export type Sent = { text: string } | { url: string } | { bytes: Uint8Array | ArrayBuffer } | { module: WebAssembly.Module } | { later: true } | null;

/** A source as it crosses, addresses as the page means them; null: it is none, or not yet. */
export function crossing(given: unknown, resolve: (source: string) => string): Sent {
  if (typeof given === "string") return { text: resolve(given) };
  if (given instanceof URL) return { url: given.href };
  if (typeof WebAssembly === "object" && given instanceof WebAssembly.Module) return { module: given };
  if (given instanceof ArrayBuffer) return { bytes: given };
  return ArrayBuffer.isView(given) ? { bytes: new Uint8Array(given.buffer as ArrayBuffer, given.byteOffset, given.byteLength).slice() } : null;
}

/** What a reranker is opened with. */
export interface Opening {
  bundle: Sent;
  wasm: Sent;
  deadlineMs?: number | undefined;
  loadTimeoutMs?: number | undefined;
  maxEvents?: number | undefined;
  /** Whether the caller's clock stands for the worker's. */
  clocked: boolean;
  /** Whether records are asked for. */
  recorded: boolean;
  /** Whether bundles come by a delivery in the page. */
  delivered: boolean;
}

/** A response as it crosses: a column for each property and each feature. */
export interface Packed {
  ids: string[];
  keys: (string | null)[];
  types: (string | null)[];
  targets: (string | null)[];
  /** In the order of `NUMBERS`, n each: NaN is missing. */
  numbers: Float64Array<ArrayBuffer>;
  /** Numbers where all values of a feature are: NaN is missing. */
  features: [name: string, values: Float64Array<ArrayBuffer> | unknown[]][];
}

/** What the page asks, in the order in which it was asked. */
export type Asked =
  | { op: "open"; options: Opening }
  | { op: "source"; name: string; source: Sent; error?: string }
  | { op: "replace"; name: string; source: Sent }
  /** What a delivery does, which runs in the page. */
  | { op: "offer"; bytes: Uint8Array<ArrayBuffer> }
  | { op: "refuse"; code: Reason; message: string }
  | { op: "disable"; detail: string }
  | { op: "enable" }
  | { op: "read"; source: Sent }
  | { op: "session"; session: number; options: Pick<SessionOptions, "key" | "snapshot"> }
  | { op: "end"; session: number }
  | { op: "forget"; session: number }
  | { op: "observe"; session: number; event: LocalEvent }
  | { op: "merge"; session: number; events: LocalEvent[] }
  | { op: "snapshot" | "restored" | "meanings"; session: number }
  | { op: "signals"; session: number; list: number | null; options: Omit<SignalOptions, "list"> }
  | { op: "prepare"; session: number; list: number; request: PackedRequest }
  | { op: "append"; list: number; page: Packed }
  | { op: "update"; list: number; facts: Facts }
  | { op: "watch" | "unwatch" | "drop"; list: number }
  | { op: "rerank"; list: number; ask: RerankAsk }
  | { op: "exposed"; list: number; decision: number; id: string; visibleMs: number }
  | { op: "close" };

export interface PackedRequest {
  candidates: Packed;
  facts: Facts;
  surface: string | null;
  list_id: string | null;
  decision_id: string | null;
  seed: number | string | bigint | null;
  now: number;
}

export interface RerankAsk {
  frozen: number | Id[];
  now: number;
  rows: number | null;
  seed: number | string | bigint | null;
  decision_id: string | null;
  /** Counts the list's decisions. */
  decision: number;
  /** The order on the page, where it is another than the worker gave last. */
  shown: Uint32Array<ArrayBuffer> | null;
}

/** With each: what the page's clock says, what may be recorded, and the number under which an answer is awaited. */
export interface Envelope {
  ranklet: 1;
  id: number | null;
  now: number;
  consent: string;
  asked: Asked;
}

/** What the worker says. */
export type Said =
  | { hello: true }
  | { id: number; answer: unknown }
  | { id: number; error: { code: Reason; message: string } }
  | { status: Status }
  | { due: number }
  /** The delivery may start. */
  | { delivers: true }
  | { record: Uint8Array<ArrayBuffer> };

/** A ranking as it crosses, by place. NaN is null. */
export interface PackedRanking {
  source: "model" | "server";
  reason: Reason | null;
  detail: string;
  rowsRun: number;
  degraded: boolean;
  order: Uint32Array<ArrayBuffer>;
  suppressed: Uint8Array<ArrayBuffer>;
  heads: string[];
  /** score, utility, propensity, then raw and calibrated of each head: n each. */
  numbers: Float64Array<ArrayBuffer>;
  /** Of those that have any. */
  constraints: [place: number, constraints: string[], relaxed: string[]][];
}

/** The columns of numbers that every response has, in their order there. */
const NUMBERS = ["server_score", "value", "boost", "spend_effect", "benefit_lower", "pin"];
export const MARKS = [null, "dismissed", "snoozed"] as const;

/** Rows as columns, with what the engine could read of them and nothing else: a function, say, would not cross. */
export function pack(rows: Rows): Packed {
  const [ids, keys, types, ...others] = rows.columns;
  const n = ids.length;
  const numbers = Float64Array.from(others.slice(0, NUMBERS.length).flat(), (value) => (value as number | null) ?? NaN);
  const targets = others[NUMBERS.length] as Packed["targets"];
  const columns = new Map<string, unknown[]>();
  rows.features.forEach((features, row) => {
    for (const name of Object.keys(features ?? {})) {
      const value = plain(features![name]);
      if (value === undefined) continue;
      let column = columns.get(name);
      if (!column) columns.set(name, (column = new Array<unknown>(n).fill(undefined)));
      column[row] = value;
    }
  });
  const features = Array.from(columns, ([name, values]): Packed["features"][number] => {
    const numeric = values.every((value) => value === undefined || typeof value === "number");
    return [name, numeric ? Float64Array.from(values as number[], (value) => value ?? NaN) : values];
  });
  return { ids, keys, types, targets, numbers, features };
}

/** Candidates in the keys of a request file. */
export function unpack({ ids, keys, types, targets, numbers, features }: Packed): Record<string, unknown>[] {
  const n = ids.length;
  return ids.map((id, row) => {
    const candidate: Record<string, unknown> = { id, key: keys[row], type: types[row], target: targets[row] };
    NUMBERS.forEach((key, at) => (candidate[key] = numbers[at * n + row]));
    const own: Record<string, unknown> = (candidate["features"] = {});
    for (const [name, values] of features) {
      const value = values[row];
      // A name may be any, `__proto__` too.
      if (value !== undefined) Object.defineProperty(own, name, { value, enumerable: true, writable: true, configurable: true });
    }
    return candidate;
  });
}

/** Facts, with what the engine could read of them. */
export function packFacts(facts: Facts): Facts {
  const packed: Record<string, Record<string, unknown>> = {};
  for (const [group, values] of Object.entries(facts)) {
    packed[group] = Object.fromEntries(Object.entries(values as object).map(([name, value]) => [name, plain(value)]));
  }
  return packed;
}

/** A value of a feature as far as it can mean anything: a number, a text, a boolean, or lists of them. */
function plain(value: unknown, depth = 2): unknown {
  if (["number", "string", "boolean", "bigint"].includes(typeof value)) return value;
  const list = depth > 0 ? toList(value) : null;
  // What is none keeps its place.
  return list === null ? undefined : Array.from(list, (one) => plain(one, depth - 1) ?? null);
}

/** What is known of a ranking in the worker. */
export function packRanking(ranking: Ranking, heads: readonly string[]): PackedRanking {
  const { source, reason, detail, rowsRun, degraded, entries } = ranking;
  const n = entries.length;
  const numbers = new Float64Array(n * (3 + 2 * heads.length));
  const constraints: PackedRanking["constraints"] = [];
  entries.forEach((entry, place) => {
    const values = [entry.score, entry.utility, entry.propensity];
    for (const head of heads) values.push(entry.heads[head]?.raw ?? null, entry.heads[head]?.calibrated ?? null);
    values.forEach((value, at) => (numbers[at * n + place] = value ?? NaN));
    if (entry.constraints.length + entry.relaxed.length > 0) constraints.push([place, entry.constraints, entry.relaxed]);
  });
  const order = Uint32Array.from(entries, ({ serverRank }) => serverRank - 1);
  const suppressed = Uint8Array.from(entries, (entry) => MARKS.indexOf(entry.suppressed));
  return { source, reason, detail, rowsRun, degraded, order, suppressed, heads: source === "model" ? [...heads] : [], numbers, constraints };
}

/** The entries of a ranking, over the page's own objects. */
export function unpackEntries<C>(packed: PackedRanking, items: readonly C[], ids: readonly string[], keys: readonly string[]): Entry<C>[] {
  const { order, suppressed, heads, numbers, constraints } = packed;
  const n = order.length;
  const at = (column: number, place: number) => {
    const value = numbers[column * n + place];
    return value === undefined || Number.isNaN(value) ? null : value;
  };
  const entries = Array.from(order, (row, place): Entry<C> => ({
    item: items[row]!,
    id: ids[row] ?? "",
    key: keys[row] ?? ids[row] ?? "",
    rank: place + 1,
    serverRank: row + 1,
    score: at(0, place),
    heads: Object.fromEntries(heads.map((head, number) => [head, { raw: at(3 + 2 * number, place), calibrated: at(4 + 2 * number, place) }])),
    utility: at(1, place),
    propensity: at(2, place) ?? 1,
    suppressed: MARKS[suppressed[place] ?? 0]!,
    constraints: [],
    relaxed: [],
  }));
  for (const [place, held, relaxed] of constraints) Object.assign(entries[place]!, { constraints: held, relaxed });
  return entries;
}

/** The wasm boundary as the face sees it. The generated class has this shape; nothing else of the package knows the glue. */

export interface ColumnInfo {
  path: string;
  kind: "number" | "string" | "strings" | "numbers";
  /** Numbers of each vector of "numbers"; 1 for the others. */
  width: number;
  per: "candidate" | "request";
}

export interface EngineInfo {
  name: string;
  version: number;
  numerics: number;
  digests: { bundle: string; schema: string; policy: string };
  heads: string[];
  columns: ColumnInfo[];
  reasons: string[];
  constraints: string[];
  signals: string[];
  size_bytes: number;
  self_test_rows: number;
  /** How long a dismissal, a snooze without a length, and a dismissal for each of the declared reasons hide an item. */
  suppressed_ms: number[];
  dismiss_reasons: string[];
  /** Of the model, where the engine scores alone. */
  inputs: TensorInfo[];
  outputs: TensorInfo[];
}

/** A tensor as plain data: row-major values and the size of each dimension. Booleans are bytes. */
export interface Tensor {
  data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
  dims: readonly number[];
}

export type Tensors = Record<string, Tensor>;

export interface TensorInfo {
  name: string;
  dtype: string;
  /** -1 stands for the number of candidates, -k for k times as many. */
  dims: number[];
}

/** The engine's arrays for so many candidates: views of its memory, which are empty once that has grown. */
export interface Room {
  rows: number;
  /** Of the inputs, then of the outputs. */
  views: Tensor["data"][];
  addresses: Uint32Array;
}

export interface Engine {
  /** Of an engine that scores alone, as JSON. */
  info(): EngineInfo | string;
  session(): number;
  session_free(session: number): void;
  restore(session: number, snapshot: string): void;
  snapshot(session: number): string;
  /** Texts as one and the length of each in UTF-16 units, -1 for none; see `sendEvent`. */
  observe(
    session: number, kind: number, time: number, number: number, flag: boolean, texts: string,
    id: number, key: number, type: number, surface: number, list: number, reason: number, field: number, value: number,
  ): number;
  /** In the order of the info's `signals`: NaN is missing, Infinity one of candidates where none was asked about. */
  signals(
    session: number, list: number, row: number, key: string | undefined, type: string | undefined, surface: string | undefined, now: number,
  ): Float64Array;
  /** Of each signal five lines: its name, unit, privacy label, `request` or `candidate`, and a sentence. */
  describe(): string;
  prepare(session: number, options: object, n: number, columns: Float64Array, pool: string, lengths: Uint32Array): number;
  append(list: number, n: number, columns: Float64Array, pool: string, lengths: Uint32Array): void;
  shown(list: number, rows: Uint32Array): void;
  update_facts(list: number, columns: Float64Array, pool: string, lengths: Uint32Array): void;
  /** `rows`: work budget; `seed` and `decisionId` in place of the request's. */
  rerank(
    list: number, now: number, frozenCount: number, frozenRows: Uint32Array,
    rows?: number, seed?: number | string | bigint | null, decisionId?: string,
  ): Float64Array;
  /** The list's last decision in the compact form, with its feature rows where `full`; nothing before the first. */
  record(list: number, full: boolean): Uint8Array<ArrayBuffer> | undefined;
  list_free(list: number): void;
  memory(): WebAssembly.Memory;
  /** Makes room for so many candidates: the address of those of the inputs, then of the outputs. They hold until it makes more. */
  score_room(rows: number): number;
  /** From the arrays of the inputs (of those that `prepared` leaves open; 0: of all) to those of the outputs. */
  score(prepared: number, rows: number): void;
  /** Of the inputs by number; `rows` is below 0 where none has a row for each candidate. */
  score_prepare(inputs: Uint32Array, rows: number): number;
  score_free(prepared: number): void;
  /** Where the face last found the room, kept here so that it goes with the engine. */
  room?: Room;
}

/** What `dist/engine.js` exports: a fresh wasm instance for each call, so that a trap of one reaches no other. */
export type MakeInstance = (module: WebAssembly.Module) => { Engine: EngineClass };

export interface EngineClass {
  new (bundle: Uint8Array, hashes: Uint8Array): Engine;
  /** Whether the instance was ever refused memory. It only reads a flag, so it may be asked after a trap. */
  out_of_memory(): boolean;
}

/** The header of a `rerank` answer, then its items, `ITEM` numbers and two for each head. */
export const HEADER = 8;
export const ITEM = 9;

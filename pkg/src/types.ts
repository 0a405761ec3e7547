import type { Delivery } from "./delivery.js";
import type { List } from "./list.js";
import type { Consent } from "./record.js";
import type { Reason } from "./reasons.js";

/** An id is kept exactly: numbers and BigInts as their decimal text. Ids beyond 2^53 come as BigInt or string. */
export type Id = string | number | bigint;

/** Where a value of the caller's own type is found: the name of a property, or a function. */
export type Accessor<C, V> = (keyof C & string) | ((candidate: C) => V | null | undefined);

/** How the caller's type is read. By default the property names of a request file. */
export interface Accessors<C> {
  /** Names a row of one response. Default `id`. */
  id?: Accessor<C, Id>;
  /** The identity that dismissals, counters and outcomes hang on, stable across responses. Default `key`, else the id. */
  key?: Accessor<C, Id>;
  /** Default `type`. */
  type?: Accessor<C, string>;
  /** An object of named features. Default `features`. */
  features?: Accessor<C, object>;
  /** Default `server_score`. */
  serverScore?: Accessor<C, number>;
  /** The value of an acceptance, in the bundle's unit. Default `value`. */
  value?: Accessor<C, number>;
  /** Added to the utility, in its units. Default `boost`. */
  boost?: Accessor<C, number>;
  /** What it adds to the advertiser's spend; above 0, exploration does not lift it. Default `spend_effect`. */
  spendEffect?: Accessor<C, number>;
  /** Lower bound of what it brings; at 0 or below, an item that adds to spend is never lifted. Default `benefit_lower`. */
  benefitLower?: Accessor<C, number>;
  /** The position that the server asks for, from 1. Default `pin`. */
  pin?: Accessor<C, number>;
  /** What it is about, e.g. a campaign: conflicts and dependencies hold for one target. Default `target`. */
  target?: Accessor<C, Id>;
}

/** Where bytes come from. In Node a string that is not a URL is a path. */
export type BytesSource = URL | string | Uint8Array | ArrayBuffer | Response;

export interface RerankerOptions<C = unknown> extends Accessors<C> {
  /** Without one, and without `delivery`, it is the one that `ranklet embed` put into the runtime. */
  bundle?: BytesSource | Promise<BytesSource>;
  /** In place of `bundle`: where bundles come from over the reranker's life. */
  delivery?: Delivery;
  /** The runtime, if it does not lie beside the package's JavaScript. A compiled module may serve many rerankers. */
  wasm?: BytesSource | WebAssembly.Module | Promise<BytesSource | WebAssembly.Module>;
  /** Work budget of a re-rank, ms: as many candidates are scored, the first in the server's order, as by the times so far
   * fit it; the others follow in that order. Where the clock stands still, as in a worker, give `rows` to `rerank`. */
  deadlineMs?: number;
  /** After this many ms without an engine `ready` answers `load_timeout`; the load goes on and counts whenever it ends. Default 15,000; 0 waits for ever. */
  loadTimeoutMs?: number;
  /** How many events a session keeps to be applied or replayed. Default 2,000. */
  maxEvents?: number;
  /** Told at each change of status. What it throws is dropped. */
  onStatus?: (status: Status) => void;
  /**
   * Told each record as it is made, in the compact form: decisions before `rerank` returns, exposures and outcomes before
   * `observe` does. Records may stand one after the other in a file; `readRecords` of `ranklet/records` gives their JSON form.
   * What it throws is dropped. Nothing is made without it, and nothing without `consent`.
   */
  onRecord?: (record: Uint8Array<ArrayBuffer>) => void;
  /**
   * How much may be recorded, or a function that says so each time. `none`: nothing, the default for `onRecord`. `aggregate`:
   * what the policy decided from and what it decided. `full`: also `now` and the feature rows as the model saw them.
   */
  consent?: Consent | (() => Consent);
  /** `false`: nothing is loaded, every ranking is in server order, reason `disabled`. */
  enabled?: boolean;
  /** Ms since the epoch; read only inside calls. Default `Date.now`, which also stands in for a clock that fails. */
  clock?: () => number;
}

export interface BundleInfo {
  name: string;
  version: number;
  numerics: number;
  digests: { bundle: string; schema: string; policy: string };
  heads: readonly string[];
  /** The local signals this bundle can use. */
  signals: readonly string[];
  sizeBytes: number;
  selfTestRows: number;
}

/** What a re-rank would answer just now. */
export interface Status {
  source: "model" | "server";
  /** Null when `source` is `model`. */
  reason: Reason | null;
  /** One line for a person; empty when there is nothing to say. */
  detail: string;
  bundle: BundleInfo | null;
}

export interface SessionOptions {
  /** Names the user and account whose context this is. */
  key?: string;
  /** What `session.snapshot()` gave before. */
  snapshot?: string | null;
}

export type EventType =
  | "impression"
  | "open"
  | "accept"
  | "dismiss"
  | "snooze"
  | "dwell"
  | "undo"
  | "edit"
  | "navigate"
  | "search";

/** One local event, in the keys of an event file. */
export interface LocalEvent {
  /** Events with an id are counted once. */
  id?: Id;
  type: EventType | (string & {});
  /** The id of a row of a list of this session. */
  candidate?: Id;
  /** Or the identity itself. */
  key?: Id;
  candidate_type?: string;
  surface?: string;
  /** The list that an impression was seen in; by default the newest response with its candidate. Each key counts once in it. */
  list?: Id;
  /** Ms since the epoch; by default and at most the reranker's clock. */
  time?: number;
  /** Dwell: ms. Snooze and dismiss: for how long, ms, if not as long as the bundle says. Search: the text. Edit: the new value. */
  value?: number | string | boolean;
  reason?: string;
  /** The draft field of an edit. */
  field?: string;
}

export interface Observed {
  /** Whether the event counts, now or as soon as the engine is there. */
  accepted: boolean;
  /** Whether a list of this session is due for a re-rank. */
  due: boolean;
  /** Why it was not accepted. */
  reason: Reason | null;
}

/** What came of a `merge`. */
export interface Merged {
  /** Events that count, and those that are known already. */
  accepted: number;
  refused: number;
  /** Whether a list of this session is due for a re-rank. */
  due: boolean;
  /** Why the first of the refused was. */
  reason: Reason | null;
}

/** A number, or what a fact was given as; null is missing. */
export type SignalValue = number | string | boolean | readonly (number | string | boolean)[] | null;

export interface SignalOptions<C = unknown> {
  /** The list whose facts and surface are asked about. */
  list?: List<C>;
  /** The id of a candidate, to be told of its own signals too. */
  candidate?: Id;
  /** By default the list's. */
  surface?: string;
  /** Ms since the epoch; by default the reranker's clock. */
  now?: number;
}

/** `local_only` never leaves the device; `aggregate` leaves in records of level full, and tells how much, not what; `loggable` may. */
export type Privacy = "local_only" | "aggregate" | "loggable";

export type FactGroup = "account" | "campaign" | "performance" | "market" | "workflow";
export type Facts = Partial<Record<FactGroup, object>>;

/** A count of leading items of the last order, or the ids of the items that stay where they stand. */
export type Frozen = number | Iterable<Id>;

/** One server response, in the keys of a request file; array order is the server's. */
export interface RerankRequest<C> {
  candidates: readonly C[];
  facts?: Facts | null;
  surface?: string | null;
  /** Two responses for one `list_id` race: the one with the older `now` is `superseded`. */
  list_id?: string | null;
  decision_id?: string | null;
  seed?: number | string | bigint | null;
  /** Ms since the epoch; by default the reranker's clock. */
  now?: number | null;
  /** What `rerank` freezes when it is not told. */
  frozen?: Frozen | null;
}

export interface RerankOptions {
  frozen?: Frozen | null;
  /** Ms since the epoch; by default the reranker's clock. */
  now?: number;
  /** Work budget: candidates to score at most, the first in the server's order; the others follow in that order. */
  rows?: number | null;
  /** Of exploration, in place of the request's. */
  seed?: number | string | bigint | null;
  /** Of this decision; by default the request's, with `#2`, `#3`... from the second on. */
  decision_id?: Id | null;
}

export interface HeadScore {
  raw: number | null;
  calibrated: number | null;
}

export interface Entry<C> {
  item: C;
  id: string;
  key: string;
  /** From 1. */
  rank: number;
  /** From 1. */
  serverRank: number;
  /** Null in server order. */
  score: number | null;
  heads: Record<string, HeadScore>;
  utility: number | null;
  /** P(this item at this rank | what stands before it); 1 where nothing was drawn. */
  propensity: number;
  suppressed: "dismissed" | "snoozed" | null;
  /** What holds it there, or kept from there an item that was ahead of it. */
  constraints: string[];
  /** What it breaks, because nothing that keeps it could stand there. */
  relaxed: string[];
}

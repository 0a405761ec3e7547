/// <reference lib="esnext.disposable" preserve="true" />
// `using` is in the types, whatever library the caller compiles against.
export { RankletError } from "./reasons.js";
export type { KnownReason, Reason } from "./reasons.js";
export type { Delivery, Receiver } from "./delivery.js";
export type { List } from "./list.js";
export type { Ranking } from "./ranking.js";
export type { Consent } from "./record.js";
export type { Reranker } from "./reranker.js";
export type { Session } from "./session.js";
export type * from "./types.js";

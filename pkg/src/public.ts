/// <reference lib="esnext.disposable" preserve="true" />
// `using` is in the types, whatever library the caller compiles against.
export { RankletError } from "./reasons.js";
export type { KnownReason, Reason } from "./reasons.js";
export type { Delivery, Receiver } from "./delivery.js";
export type { Tensor, TensorInfo, Tensors } from "./engine.js";
export type { List } from "./list.js";
export type { Ranking } from "./ranking.js";
export { readRecords } from "./record.js";
export type {
  AnyRecord, Consent, DecisionItem, DecisionRecord, Delay, ExposureRecord, OutcomeRecord, Real, Recorded,
} from "./record.js";
export type { Reranker } from "./reranker.js";
export type { PreparedScorer, Scorer, ScorerOptions } from "./scorer.js";
export type { Session } from "./session.js";
export type * from "./types.js";

export { readDecision, readRecords } from "./record-read.js";
export { RankletError } from "./reasons.js";
export type { KnownReason, Reason } from "./reasons.js";
export type { AnyRecord, Consent, DecisionItem, DecisionRecord, Delay, ExposureRecord, OutcomeRecord, Real } from "./record.js";

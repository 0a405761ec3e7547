/// <reference lib="esnext.disposable" preserve="true" />
export { RankletError } from "./reasons.js";
export type { KnownReason, Reason } from "./reasons.js";
export type { Tensor, TensorInfo, Tensors } from "./engine.js";
export type { PreparedScorer, Scorer, ScorerOptions } from "./scorer.js";
export type { BytesSource } from "./types.js";

import type { Platform } from "./load.js";
import { openScorer, type Scorer, type ScorerOptions } from "./scorer.js";

/** Scores alone, by a runtime that holds nothing else. Rejects with a `RankletError` whose `code` is a reason. */
export type CreateScorer = (options: ScorerOptions) => Promise<Scorer>;

export function bindScorer(platform: Platform): CreateScorer {
  return (options) => openScorer(options, platform);
}

import type { Platform } from "./load.js";
import { Reranker } from "./reranker.js";
import { openScorer, type Scorer, type ScorerOptions } from "./scorer.js";
import type { RerankerOptions } from "./types.js";

/** The two functions of the package, for one platform. */
export interface Bound {
  /** Returns at once and never throws: whatever is wrong, the reranker answers with the server's order and a reason. */
  createReranker<C = unknown>(options: RerankerOptions<C>): Reranker<C>;
  /** Scores alone. Rejects with a `RankletError` whose `code` is a reason. */
  createScorer(options: ScorerOptions): Promise<Scorer>;
}

export function bind(platform: Platform): Bound {
  return {
    createReranker: (options) => new Reranker(options, platform),
    createScorer: (options) => openScorer(options, platform),
  };
}

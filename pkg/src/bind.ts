import type { Platform } from "./load.js";
import { Reranker } from "./reranker.js";
import type { RerankerOptions } from "./types.js";

/** Returns at once and never throws: whatever is wrong, the reranker answers with the server's order and a reason. */
export type CreateReranker = <C = unknown>(options: RerankerOptions<C>) => Reranker<C>;

export function bind(platform: Platform): CreateReranker {
  return (options) => new Reranker(options, platform);
}

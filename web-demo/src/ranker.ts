import { createReranker, type List, type LocalEvent, type Ranking, type RerankRequest, type Session, type Status } from "ranklet";
import type { Recommendation } from "./recommendation.js";

/** What the visitor lets go wrong. */
export type Fault = "none" | "bundle" | "wasm" | "off";

export interface Answer {
  ranking: Ranking<Recommendation>;
  /** Of the other surface. */
  beside: Ranking<Recommendation>;
  status: Status;
  /** What the call took, ms. */
  took: number;
}

/** The page's use of ranklet: one reranker, one session, a list for each surface. */
export class Ranker {
  frozen = 0;
  readonly #list: List<Recommendation>;
  readonly #beside: List<Recommendation>;
  readonly #session: Session<Recommendation>;
  readonly #reranker;

  /** @param due called when a re-rank would tell something new, the end of the load included */
  constructor(request: RerankRequest<Recommendation>, fault: Fault, clock: () => number, due: () => void) {
    this.#reranker = createReranker<Recommendation>({
      bundle: fault === "bundle" ? truncated("/ads-recs.ranklet") : "/ads-recs.ranklet",
      ...(fault === "wasm" ? { wasm: "/not-there.wasm" } : {}),
      enabled: fault !== "off",
      clock,
      onStatus: due,
    });
    this.#session = this.#reranker.session({ key: "demo" });
    this.#list = this.#session.prepare(request);
    this.#beside = this.#session.prepare({ ...request, surface: "assistant" });
    this.#list.subscribe(due);
  }

  observe(event: LocalEvent): void {
    this.#session.observe(event);
  }

  rank(): Answer {
    const start = performance.now();
    const ranking = this.#list.rerank({ frozen: this.frozen });
    const took = performance.now() - start;
    return { ranking, beside: this.#beside.rerank(), status: this.#reranker.status, took };
  }

  dispose(): void {
    this.#reranker.dispose();
  }
}

/** The first part of a file, as after a connection that broke. */
async function truncated(path: string): Promise<ArrayBuffer> {
  const bytes = await (await fetch(path)).arrayBuffer();
  return bytes.slice(0, Math.floor(bytes.byteLength * 0.6));
}

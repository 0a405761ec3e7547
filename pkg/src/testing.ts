import type { Platform } from "./load.js";
import { RankletError, type Reason } from "./reasons.js";
import { Reranker } from "./reranker.js";
import { follow, type Script } from "./script.js";
import type { Id, RerankerOptions } from "./types.js";

/** Where the clock stands unless it is told: the first of January 2026, UTC. */
const START = 1_767_225_600_000;

/** Answers of one list, beside which the engine is well. */
const OF_LISTS: readonly string[] = [
  "superseded", "stale_list", "request_invalid", "limit_exceeded", "schema_mismatch", "score_not_finite", "deadline_exceeded",
];

/** The options of `createReranker`, with what a test decides in place of `clock`. */
export interface TestOptions<C = unknown> extends Omit<RerankerOptions<C>, "clock"> {
  /** Where the clock stands, in ms since the epoch. It moves when the test moves it. */
  now?: number;
  /** As if this had happened: see `TestReranker.reason`. */
  reason?: Reason | null;
  /** See `TestReranker.order`. */
  order?: readonly Id[] | null;
}

/** A reranker of the real runtime whose clock, failures and order a test decides. For unit tests, not for a page. */
export class TestReranker<C = unknown> extends Reranker<C> {
  /** Ms since the epoch: the time of a `rerank` and of an event that are given none. */
  now: number;
  #reason: Reason | null = null;
  readonly #script: Script = { order: null };
  readonly #announce: () => void;

  /** @internal */
  constructor(options: TestOptions<C>, platform: Platform) {
    const { now = START, reason = null, order = null, ...real } = options;
    let clock = () => now;
    super({ ...real, clock: () => clock() }, platform);
    this.now = now;
    clock = () => this.now;
    this.#announce = this.#govern();
    this.order = order;
    this.reason = reason;
  }

  /**
   * While it is set, every ranking is in server order for this reason; one that concerns the engine shows in `status` too.
   * Setting it to null is the end of an outage: `onStatus` and subscribers are told as when an engine comes, and what was
   * observed meanwhile counts. Any string, since the set is open.
   */
  get reason(): Reason | null {
    return this.#reason;
  }

  set reason(reason: Reason | null) {
    if (reason === this.#reason) return;
    this.#reason = reason;
    this.#announce();
  }

  /**
   * These ids first, in this order, from the next `rerank` on; then the others as the model has them. What is frozen stays.
   * Scores and marks are the model's, so that utilities no longer fall, and no replay gives such a record again. Null: the
   * model's order.
   */
  get order(): readonly string[] | null {
    return this.#script.order;
  }

  set order(ids: readonly Id[] | null) {
    this.#script.order = ids && ids.map(String);
  }

  /** Moves the clock. */
  advance(ms: number): void {
    this.now += ms;
  }

  /** Puts itself between the face and its host, on this one instance; gives what tells of a change. */
  #govern(): () => void {
    const { host } = this;
    const real = { status: host.status.bind(host), call: host.call.bind(host) };
    let { running } = host;
    // Whether the engine is seen though a reason is set.
    let seen = false;
    const gone = () => this.#reason !== null && !seen;
    const error = () => new RankletError(this.#reason!, "set by the test");
    Object.defineProperties(host, {
      running: {
        get: () => (gone() ? undefined : running),
        set: (next: typeof running) => {
          if (next) follow(next, this.#script);
          running = next;
        },
      },
      mayCome: { get: () => gone() || (!running && real.status().reason === "loading") },
    });
    host.call = (use, caller) => {
      if (gone()) throw error();
      return real.call(use, caller);
    };
    host.status = () => {
      if (gone() && !OF_LISTS.includes(this.#reason!)) {
        const { code, message } = error();
        return { source: "server", reason: code, detail: message, bundle: null };
      }
      seen = true;
      try {
        return real.status();
      } finally {
        seen = false;
      }
    };
    return () => {
      // Another object, as after a real outage: sessions and lists go into the engine anew, with all that happened.
      if (running) running = { ...running };
      for (const listener of [...host.changed]) listener();
    };
  }
}

/** As the package's own, with a fixed clock, and a reason and an order that a test sets. */
export type CreateTestReranker = <C = unknown>(options: TestOptions<C>) => TestReranker<C>;

export function bindTesting(platform: Platform): CreateTestReranker {
  return (options) => new TestReranker(options, platform);
}

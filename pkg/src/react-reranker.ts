import { RankletError, failure } from "./reasons.js";
import type { Reranker } from "./reranker.js";
import type { RerankerOptions } from "./types.js";

/** A delivery as far as it is held back: see `Delivery`. */
interface Held {
  start(to: { refuse(error: Error): void }): void;
  stop(): void;
}

type Create = <C>(options: RerankerOptions<C>) => Reranker<C>;

/**
 * A reranker for a component's life. It is made while React renders, where nothing may happen yet: it loads once the
 * component is on the page. Until then, and on a server for ever, it answers in the server's order, reason `loading`.
 */
export class Keeper<C> {
  reranker: Reranker<C>;
  readonly #create: Create;
  /** Those of the first render; of later ones only whom to tell. */
  readonly #first: RerankerOptions<C>;
  #latest: RerankerOptions<C>;
  #start!: () => void;
  #cancel!: (why: Error) => void;
  #live = true;
  #holders = 0;

  constructor(create: Create, options: RerankerOptions<C>) {
    this.#create = create;
    this.#first = this.#latest = options;
    this.reranker = this.#make();
  }

  /** Whom to tell from now on. */
  update(options: RerankerOptions<C>): void {
    this.#latest = options;
  }

  /**
   * Lets the reranker load. The function that comes back frees it a moment later: React's strict mode takes a component
   * away and puts it back at once, and that is the same reranker. Gives whether another one had to be made.
   */
  hold(): { fresh: boolean; release: () => void } {
    const fresh = !this.#live;
    if (fresh) {
      this.reranker = this.#make();
      this.#live = true;
    }
    this.#holders += 1;
    this.#start();
    const release = () => {
      this.#holders -= 1;
      queueMicrotask(() => {
        if (this.#holders > 0 || !this.#live) return;
        this.#live = false;
        this.reranker.dispose();
        // What waits to begin, its timer too, is let go.
        this.#cancel(new RankletError("disposed", "the component is gone"));
      });
    };
    return { fresh, release };
  }

  #make(): Reranker<C> {
    const started = new Promise<void>((start, cancel) => {
      this.#start = start;
      this.#cancel = cancel;
    });
    started.catch(() => undefined);
    const { onStatus, onRecord, ...rest } = this.#first;
    const options: Record<string, unknown> = { ...rest };
    // A server waits for nothing, not even for time to pass.
    if (typeof document === "undefined") options["loadTimeoutMs"] = 0;
    // A promise of the caller's may reject before anybody waits for it.
    for (const name of ["wasm", "bundle"]) Promise.resolve(options[name]).catch(() => undefined);
    options["wasm"] = started.then(() => this.#first.wasm);
    if (this.#first.bundle !== undefined) options["bundle"] = started.then(() => this.#first.bundle);
    if (options["delivery"] !== undefined) options["delivery"] = later(options["delivery"] as Held, started);
    options["onStatus"] = (status: never) => this.#holders > 0 && this.#latest.onStatus?.(status);
    if (onRecord) options["onRecord"] = (record: never) => this.#latest.onRecord?.(record);
    return this.#create(options as unknown as RerankerOptions<C>);
  }
}

/** The same delivery, begun when `started` says so. */
function later(delivery: Held, started: Promise<void>): Held {
  let [begun, stopped] = [false, false];
  return {
    start(to) {
      const begin = () => {
        if (stopped) return;
        begun = true;
        try {
          delivery.start(to);
        } catch (thrown) {
          to.refuse(failure(thrown, "bundle_fetch_failed"));
        }
      };
      started.then(begin, () => undefined);
    },
    stop() {
      stopped = true;
      if (begun) delivery.stop();
    },
  };
}

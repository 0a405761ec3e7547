import { makeReader } from "./candidates.js";
import type { Host } from "./host.js";
import { quiet } from "./load.js";
import { RankletError, describe, failure } from "./reasons.js";
import type { Shared } from "./request.js";
import type { Consent } from "./record.js";
import type { Accessors, BytesSource, RerankerOptions, SessionOptions, Status } from "./types.js";
import { deliver } from "./worker-delivery.js";
import { Line } from "./worker-line.js";
import { crossing, type Port, type Sent } from "./worker-messages.js";
import { AsyncSession } from "./worker-session.js";

const LOAD_TIMEOUT_MS = 15_000;
const TIMEOUT_MS = 1000;

/** The options of `createReranker`, with what differs where the engine lies in a worker. */
export interface AsyncRerankerOptions<C = unknown>
  extends Accessors<C>,
    Pick<RerankerOptions<C>, "bundle" | "delivery" | "wasm" | "deadlineMs" | "loadTimeoutMs" | "maxEvents" | "onStatus" | "consent" | "enabled" | "clock"> {
  /**
   * Who hosts the engine: a worker or port whose other end called `serve` of `ranklet/worker-host`, or what makes one. By
   * default a worker of its own, which ends with the reranker.
   */
  worker?: Port | (() => Port);
  /** How long an answer is waited for before it is the server's order, `worker_timeout`; ms, by default 1,000. */
  timeoutMs?: number;
  /** Told each record in the compact form; see `RerankerOptions.onRecord`. What it throws is dropped. */
  onRecord?: (bytes: Uint8Array<ArrayBuffer>) => void;
}

/** A reranker whose engine lies in a worker. What asks something of it is a promise, and none ever rejects. */
export class AsyncReranker<C = unknown> {
  readonly #line: Line;
  readonly #shared: Shared<C>;
  readonly #abandoned: FinalizationRegistry<number> | undefined;
  readonly #resolve: (source: string) => string;
  #next = 1;

  /** @internal */
  constructor(options: AsyncRerankerOptions<C>, start: () => Port, resolve: (source: string) => string) {
    const clock = safely(options.clock);
    // What is read is kept whole: the schema is known to the worker alone.
    const host = { running: undefined, mayCome: true } as unknown as Host;
    this.#shared = { host, reader: makeReader(options), clock, maxEvents: 0, deadlineMs: undefined, records: undefined as never };
    const { worker, consent, onRecord, enabled, onStatus, bundle, delivery, wasm, timeoutMs, loadTimeoutMs = LOAD_TIMEOUT_MS } = options;
    const given = typeof worker === "function" ? worker : () => worker!;
    const asked: Consent | (() => Consent) = consent ?? "none";
    this.#line = new Line(enabled === false ? off : worker ? given : start, worker === undefined, {
      timeoutMs: timeoutMs ?? TIMEOUT_MS,
      loadTimeoutMs,
      clock,
      consent: () => {
        try {
          return typeof asked === "function" ? asked() : asked;
        } catch {
          return "none";
        }
      },
      onRecord,
    });
    if (typeof onStatus === "function") {
      this.#line.changed.add(() => {
        try {
          onStatus(this.status);
        } catch {
          // A listener's failure is not the reranker's.
        }
      });
    }
    const line = this.#line;
    this.#resolve = resolve;
    if (delivery) deliver(delivery, line, clock, resolve);
    if (typeof FinalizationRegistry === "function") this.#abandoned = new FinalizationRegistry((session) => line.tell({ op: "end", session }));
    const sources = { bundle: this.#source("bundle", bundle), wasm: this.#source("wasm", wasm) };
    const { deadlineMs, maxEvents } = options;
    const opening = { deadlineMs, loadTimeoutMs, maxEvents, clocked: options.clock !== undefined, recorded: typeof onRecord === "function", delivered: !!delivery };
    this.#line.tell({ op: "open", options: { ...opening, ...sources } });
  }

  /** Settles when the first load ends, well or not, or its time is over. Never rejects; nobody has to await it. */
  get ready(): Promise<Status> {
    return this.#line.ready;
  }

  /** What a re-rank would answer, as far as the worker has said. */
  get status(): Status {
    return this.#line.status;
  }

  /** The context of one user and account. At once, for nothing is waited for. */
  session(options?: SessionOptions): AsyncSession<C> {
    const session = new AsyncSession(this.#shared, this.#line, options, this.#next++, () => this.#next++);
    this.#abandoned?.register(session, session.number);
    return session;
  }

  /** Another bundle for the worker's engine, at once for all sessions and lists: see `Reranker.replace`. Never rejects. */
  async replace(bundle: BytesSource | Promise<BytesSource>): Promise<Status> {
    const name = `replace ${this.#next++}`;
    try {
      return await this.#line.ask<Status>({ op: "replace", name, source: this.#source(name, bundle) }, true);
    } catch (thrown) {
      const { code, message } = failure(thrown, "bundle_fetch_failed");
      return { ...this.status, detail: `${code}: ${message}` };
    }
  }

  /** Ends the worker, or its part in a worker that was given; afterwards server order, `disposed`. */
  dispose(): void {
    this.#line.fail(new RankletError("disposed", "the reranker was disposed"));
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** A source as it crosses; one that is waited for is told of when it is there. */
  #source(name: string, given: unknown): Sent {
    const resolve = this.#resolve;
    if (given === undefined) return null;
    const now = crossing(given, resolve);
    if (now) return now;
    quiet(given as Promise<unknown>);
    const later = async () => {
      const found = (await given) as BytesSource | WebAssembly.Module;
      if (typeof (found as Response | null)?.arrayBuffer !== "function") return crossing(found, resolve);
      const response = found as Response;
      if (!response.ok) throw new Error(`${response.url || "the response"} answered ${response.status}`);
      return { bytes: await response.arrayBuffer() };
    };
    later().then(
      (source) => this.#line.tell(source ? { op: "source", name, source } : { op: "source", name, source: null, error: "neither a URL, bytes nor a Response" }),
      (thrown) => this.#line.tell({ op: "source", name, source: null, error: describe(thrown) }),
    );
    return { later: true };
  }
}

/** In place of a worker, where none is wanted. */
function off(): never {
  throw new RankletError("disabled", "disabled by option");
}

function safely(given: (() => number) | undefined): () => number {
  return () => {
    try {
      const now: unknown = given?.();
      if (Number.isFinite(now)) return now as number;
    } catch {
      // As if there were none.
    }
    return Date.now();
  };
}

import { makeReader } from "./candidates.js";
import { Host } from "./host.js";
import { quiet, type Platform } from "./load.js";
import { Records } from "./recorder.js";
import { RankletError, failure } from "./reasons.js";
import type { Shared } from "./request.js";
import { Session } from "./session.js";
import type { BytesSource, RerankerOptions, SessionOptions, Status } from "./types.js";

const LOAD_TIMEOUT_MS = 15_000;
const MAX_EVENTS = 2000;

/** One engine and one bundle; sessions of many people. Made by `createReranker`. */
export class Reranker<C = unknown> {
  /** @internal */
  readonly host: Host;
  readonly #shared: Shared<C>;

  /** @internal */
  constructor(options: RerankerOptions<C>, platform: Platform) {
    const { host, shared } = open(options, platform);
    this.host = host;
    this.#shared = shared;
  }

  /** Settles when the first load ends, well or not, or its time is over. Never rejects; nobody has to await it. */
  get ready(): Promise<Status> {
    return this.host.ready;
  }

  /** What a re-rank would answer just now. */
  get status(): Status {
    return this.host.status();
  }

  /** The context of one user and account; at the edge one for each request. Never throws. */
  session(options?: SessionOptions): Session<C> {
    return new Session(this.#shared, options);
  }

  /**
   * Opens another bundle beside the one that runs, and only where it passes its self-test puts it in that one's place, for all
   * sessions and lists at once; what is frozen stays. Never rejects: a bad one changes nothing, and `detail` says what it was.
   */
  replace(bundle: BytesSource | Promise<BytesSource>): Promise<Status> {
    return this.host.replace(bundle);
  }

  /** Frees the engine; afterwards server order, `disposed`. */
  dispose(): void {
    this.host.dispose();
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Reads the options, whatever they are: what cannot be read fails the load, not the caller. */
function open<C>(options: RerankerOptions<C>, platform: Platform, error?: RankletError): { host: Host; shared: Shared<C> } {
  try {
    const { bundle, delivery, wasm, deadlineMs, loadTimeoutMs, maxEvents, onStatus, enabled, clock: given, onRecord, consent } = options;
    const reader = makeReader(options);
    const clock = safely(given ?? (() => Date.now()));
    const load = { bundle, delivery, wasm, loadTimeoutMs: loadTimeoutMs ?? LOAD_TIMEOUT_MS, clock };
    const off = error ?? (enabled === false && new RankletError("disabled", "disabled by option"));
    if (off) [bundle, wasm].forEach(quiet);
    const host = new Host(off || load, platform);
    if (typeof onStatus === "function") host.changed.add(() => tell(onStatus, host));
    return { host, shared: { host, reader, clock, maxEvents: maxEvents ?? MAX_EVENTS, deadlineMs, records: new Records({ onRecord, consent }) } };
  } catch (thrown) {
    // Nothing may be recorded where the options may have said so.
    return open<C>({ consent: "none" }, platform, failure(thrown, "request_invalid"));
  }
}

/** A clock that always tells a time: where the caller's fails, the system's. */
function safely(given: unknown): () => number {
  return () => {
    try {
      const now: unknown = (given as () => unknown)();
      if (Number.isFinite(now)) return now as number;
    } catch {
      // As if there were none.
    }
    return Date.now();
  };
}

function tell(onStatus: (status: Status) => void, host: Host): void {
  try {
    onStatus(host.status());
  } catch {
    // A listener's failure is not the reranker's, and there is no console to put it on.
  }
}

import { RankletError, describe, failure, type Reason } from "./reasons.js";
import type { Status } from "./types.js";
import { listen, type Asked, type Envelope, type Port, type Said } from "./worker-messages.js";

/** After so long without a word, a worker that owes one is given up. */
const HUNG_MS = 30_000;

export interface LineOptions {
  /** How long an answer is waited for, ms. */
  timeoutMs: number;
  /** How long the worker may take until it has loaded, or failed to. */
  loadTimeoutMs: number;
  clock: () => number;
  consent: () => string;
  onRecord: ((bytes: Uint8Array<ArrayBuffer>) => void) | undefined;
}

interface Waiting {
  resolve: (answer: never) => void;
  reject: (error: RankletError) => void;
  timer: ReturnType<typeof setTimeout>;
}

/** The page's end of the wire: what is asked goes in order, each answer finds who asked, and silence is an answer too. */
export class Line {
  /** Told when the status changed. */
  readonly changed = new Set<() => void>();
  /** Told by the numbers of lists that they are due. */
  readonly due = new Map<number, () => void>();
  /** Told when a delivery may start. */
  delivers: (() => void) | undefined;
  /** Told when the worker is gone for good. */
  ended: (() => void) | undefined;
  readonly ready: Promise<Status>;
  #settle!: () => void;
  #status: Status = { source: "server", reason: "loading", detail: "", bundle: null };
  #port: Port | undefined;
  readonly #own: boolean;
  readonly #options: LineOptions;
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;
  #open = false;
  #failed: RankletError | undefined;
  #late: RankletError | undefined;
  #hung: ReturnType<typeof setTimeout> | undefined;
  #loading: ReturnType<typeof setTimeout> | undefined;

  /** `own`: the worker ends with the line. */
  constructor(start: () => Port, own: boolean, options: LineOptions) {
    this.#own = own;
    this.#options = options;
    this.ready = new Promise((resolve) => (this.#settle = () => resolve(this.status)));
    try {
      this.#port = start();
      listen(this.#port, (message) => this.#take(message as Said), (thrown) => this.fail(new RankletError("worker_failed", describe(thrown))));
      this.#port.ref?.();
    } catch (thrown) {
      this.fail(failure(thrown, "worker_failed"));
      return;
    }
    const { loadTimeoutMs } = options;
    if (loadTimeoutMs > 0 && loadTimeoutMs < 2 ** 31) {
      this.#loading = setTimeout(() => {
        if (this.#status.reason !== "loading" || this.#failed) return;
        this.#set({ source: "server", reason: "load_timeout", detail: `nothing was loaded after ${loadTimeoutMs} ms`, bundle: null });
      }, loadTimeoutMs);
    }
  }

  get status(): Status {
    const error = this.#failed ?? this.#late;
    return error ? { source: "server", reason: error.code, detail: error.message, bundle: null } : this.#status;
  }

  /** Whether what is told now is kept for a worker that has not begun yet. */
  get coming(): boolean {
    return !this.#open && !this.#failed;
  }

  /** Why nothing is to be asked just now: the worker is not there yet, is gone, or owes an answer for too long. */
  get silence(): RankletError | undefined {
    const error = this.#failed ?? this.#late;
    if (error || this.#open) return error;
    const { reason, detail } = this.#status;
    return new RankletError(reason ?? "loading", detail);
  }

  /** Tells the worker something. */
  tell(asked: Asked): void {
    this.#send(null, asked);
  }

  /**
   * Asks it something. Rejects with a `RankletError`: `worker_timeout`, `worker_failed`, or what the worker says. `patient`: what
   * has to be fetched takes its time, and says nothing of how the worker is.
   */
  ask<T>(asked: Asked, patient = false): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#failed) return reject(this.#failed);
      const id = this.#next++;
      const { timeoutMs, loadTimeoutMs } = this.#options;
      // A worker that has not begun yet is waited for as long as a load.
      const late = () => {
        if (!(patient && this.#open)) this.#tooLate(id);
      };
      const timer = setTimeout(late, this.#open ? timeoutMs : Math.max(timeoutMs, loadTimeoutMs));
      this.#waiting.set(id, { resolve, reject, timer });
      this.#port?.ref?.();
      this.#send(id, asked);
    });
  }

  /** The worker is gone, for this reason; nothing is asked of it again. */
  fail(error: RankletError): void {
    if (this.#failed) return;
    this.#failed = error;
    clearTimeout(this.#hung);
    clearTimeout(this.#loading);
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#waiting.clear();
    const port = this.#port;
    this.#port = undefined;
    try {
      if (this.#own) void port?.terminate?.();
      else port?.postMessage({ ranklet: 1, id: null, now: 0, consent: "none", asked: { op: "close" } } satisfies Envelope);
      port?.unref?.();
    } catch {
      // It is gone already.
    }
    this.ended?.();
    this.#announce();
  }

  #send(id: number | null, asked: Asked): void {
    const { clock, consent } = this.#options;
    try {
      this.#port?.postMessage({ ranklet: 1, id, now: clock(), consent: consent(), asked } satisfies Envelope);
    } catch (thrown) {
      this.#answered(id ?? 0, (waiting) => waiting.reject(new RankletError("request_invalid", describe(thrown))));
    }
  }

  #take(said: Said): void {
    if (typeof said !== "object" || said === null || this.#failed) return;
    if ("hello" in said) this.#open = true;
    else if ("status" in said) this.#set(said.status);
    else if ("due" in said) this.due.get(said.due)?.();
    else if ("delivers" in said) this.delivers?.();
    else if ("record" in said) this.#record(said.record);
    else if ("answer" in said) this.#answered(said.id, ({ resolve }) => resolve(said.answer as never));
    else if ("error" in said) this.#answered(said.id, ({ reject }) => reject(new RankletError(said.error.code, said.error.message)));
    if (this.#late) {
      // It was only slow: what waited is ranked anew.
      this.#late = undefined;
      clearTimeout(this.#hung);
      this.#announce();
      for (const due of [...this.due.values()]) due();
    }
  }

  #answered(id: number, settle: (waiting: Waiting) => void): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0 && this.#status.reason !== "loading") this.#port?.unref?.();
    if (!waiting) return;
    clearTimeout(waiting.timer);
    settle(waiting);
  }

  #tooLate(id: number): void {
    const { timeoutMs } = this.#options;
    const late = new RankletError("worker_timeout", `the worker did not answer within ${timeoutMs} ms`);
    // Until it has loaded it may well be busy with that.
    if (this.#open && !this.#late) {
      this.#late = late;
      this.#hung = setTimeout(() => this.fail(new RankletError("worker_failed", `the worker did not answer for ${HUNG_MS} ms`)), HUNG_MS);
      (this.#hung as { unref?: () => void }).unref?.();
      this.#announce();
    }
    this.#answered(id, ({ reject }) => reject(late));
  }

  #record(bytes: Uint8Array<ArrayBuffer>): void {
    try {
      this.#options.onRecord?.(bytes);
    } catch {
      // A listener's failure is not the worker's.
    }
  }

  #set(status: Status): void {
    this.#status = status;
    this.#announce();
  }

  #announce(): void {
    const { reason } = this.status;
    if (reason !== "loading") {
      clearTimeout(this.#loading);
      this.#settle();
      if (this.#waiting.size === 0) this.#port?.unref?.();
    }
    for (const told of [...this.changed]) told();
  }
}

/** A promise of an answer, or what stands for one: nothing that is asked of a worker ever rejects. */
export function orElse<T>(answer: Promise<T>, otherwise: (reason: Reason) => T): Promise<T> {
  return answer.catch((thrown: RankletError) => otherwise(thrown.code));
}

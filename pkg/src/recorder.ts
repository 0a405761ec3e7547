import type { PlainEvent } from "./events.js";
import type { Ranked } from "./ranking.js";
import type { Consent } from "./record.js";
import { decisionOf, writeExposure, writeOutcome } from "./record-write.js";
import type { Names } from "./request.js";

/** The upper ends of the delays, in ms; what is beyond the last is later. */
const ENDS = [1_000, 10_000, 60_000, 600_000, 3_600_000, 86_400_000];

/** Events that are what came of an item. */
const OUTCOMES = ["open", "accept", "dismiss", "snooze", "undo"];

/** Decisions of a session whose exposures and outcomes can still be told. */
const REMEMBERED = 16;

/** What the options say of records. */
export interface RecordOptions {
  onRecord?: ((record: Uint8Array<ArrayBuffer>) => void) | undefined;
  consent?: Consent | (() => Consent) | undefined;
}

/** What a reranker may record, and who is told. */
export class Records {
  readonly #onRecord: ((record: Uint8Array<ArrayBuffer>) => void) | undefined;
  readonly #consent: Consent | (() => Consent) | undefined;

  constructor({ onRecord, consent }: RecordOptions) {
    if (typeof onRecord === "function") this.#onRecord = onRecord;
    this.#consent = consent;
  }

  /** What may be recorded now: for who listens nothing unless the caller says so, for who asks for a record all. */
  consent(unsaid: Consent): Consent {
    try {
      const given: unknown = typeof this.#consent === "function" ? this.#consent() : (this.#consent ?? unsaid);
      return given === "full" || given === "aggregate" ? given : "none";
    } catch {
      return "none";
    }
  }

  /** A recorder for one session; undefined where nobody listens. */
  recorder(): Recorder | undefined {
    return this.#onRecord && new Recorder(this, this.#onRecord);
  }
}

/** A decision as far as its exposures and outcomes need it. */
interface Decided {
  ranked: Ranked;
  decisionId: string | null;
  names: Names;
  order: Uint32Array;
  now: number;
}

/** Tells one session's records. Whatever goes wrong here, the ranking and the event stand. */
export class Recorder {
  readonly #records: Records;
  readonly #tell: (record: Uint8Array<ArrayBuffer>) => void;
  /** The newest first. */
  #decided: Decided[] = [];

  constructor(records: Records, tell: (record: Uint8Array<ArrayBuffer>) => void) {
    this.#records = records;
    this.#tell = tell;
  }

  /** A list was ranked; `bytes` gives its record. */
  decided(ranked: Ranked, names: Names, make: (full: boolean) => Uint8Array<ArrayBuffer> | null): void {
    const consent = this.#records.consent("none");
    if (consent === "none") return;
    this.#quietly(() => {
      const bytes = make(consent === "full");
      if (bytes) {
        const { order, now } = ranked;
        this.#decided = [{ ranked, decisionId: decisionOf(bytes), names, order, now }, ...this.#decided.slice(0, REMEMBERED - 1)];
      }
      return bytes;
    });
  }

  /** An event was taken in. */
  observed({ type, key, time, value }: PlainEvent): void {
    const isOutcome = OUTCOMES.includes(type);
    if (key === undefined || (!isOutcome && type !== "impression")) return;
    if (this.#records.consent("none") === "none") return;
    const decided = this.#decided.find(({ now, names }) => now <= time && names.keys.includes(key));
    if (!decided) return;
    const { decisionId, now } = decided;
    if (isOutcome) {
      const delay = ENDS.findIndex((end) => time - now <= end);
      this.#quietly(() => writeOutcome(decisionId, key, type, delay < 0 ? ENDS.length : delay));
    } else {
      const { names, order } = decided;
      const place = order.indexOf(names.keys.indexOf(key));
      this.#exposed(decisionId, key, place + 1, typeof value === "number" && value >= 0 ? value : NaN);
    }
  }

  /** An item of a decision was seen for so long. */
  exposed(ranked: Ranked, key: string, position: number, visibleMs: number): void {
    const decided = this.#decided.find((one) => one.ranked === ranked);
    if (decided) this.#exposed(decided.decisionId, key, position, visibleMs);
  }

  #exposed(decisionId: string | null, key: string, position: number, visibleMs: number): void {
    if (this.#records.consent("none") !== "none") this.#quietly(() => writeExposure(decisionId, key, position, visibleMs));
  }

  forget(): void {
    this.#decided = [];
  }

  #quietly(make: () => Uint8Array<ArrayBuffer> | null): void {
    try {
      const bytes = make();
      if (bytes) this.#tell(bytes);
    } catch {
      // What the listener throws is its own, and a record that cannot be made is none.
    }
  }
}

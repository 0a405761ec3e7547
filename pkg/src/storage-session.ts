import type { PlainEvent } from "./events.js";
import { describe } from "./reasons.js";
import type { Reranker } from "./reranker.js";
import type { Keeper, Session } from "./session.js";
import { TAIL, places, readEvents, readKept, written, type Kept } from "./storage-record.js";
import { makeRoom } from "./storage-room.js";
import { alone, type Store } from "./storage-store.js";
import { Tabs } from "./storage-tabs.js";

const DEBOUNCE_MS = 1000;
/** Events that wait for an engine to become a snapshot. */
const MAX_WAITING = 2000;

/** Of so many each new one is written down at once; of more, those that come until the next save, with that. */
const MAX_JOTTED = 100;

/** What went wrong with keeping: `unavailable`, `quota`, `newer`, `corrupt`; and one line for a person. */
export interface StorageProblem {
  code: "unavailable" | "quota" | "newer" | "corrupt";
  detail: string;
}

export interface PersistOptions {
  /** Names the user and account whose context this is. */
  key: string;
  store: Store;
  /** A change is stored after this long, ms, with all that came until then. Default 1,000. */
  debounceMs?: number;
  /** Told each problem once. What it throws is dropped. */
  onProblem?: (problem: StorageProblem) => void;
}

/** A session that outlives its page. */
export interface PersistedSession<C = unknown> {
  readonly session: Session<C>;
  /** Why not all is kept, if so. */
  readonly problem: StorageProblem | null;
  /** Resolves when all that is known now is stored, or could not be; never rejects. */
  saved(): Promise<void>;
  /** As `session.forget()`, which does the same: wipes the context here, in the store and in other tabs. Resolves when nothing is left. */
  forget(): Promise<void>;
  /** Stores what is known and keeps the session no more. */
  stop(): Promise<void>;
}

/** Restores a session by its key, and keeps it. Never rejects: without a store the session is as any other, and `problem` says so. */
export async function persistSession<C>(reranker: Reranker<C>, options: PersistOptions): Promise<PersistedSession<C>> {
  const keeping = new Keeping(reranker, options);
  await keeping.open();
  return keeping;
}

class Keeping<C> implements PersistedSession<C>, Keeper {
  session!: Session<C>;
  problem: StorageProblem | null = null;
  readonly #reranker: Reranker<C>;
  readonly #options: PersistOptions;
  readonly #at: ReturnType<typeof places>;
  readonly #tab: string;
  readonly #tabs: Tabs;
  #count = 0;
  /** The life and revision that this tab knows; none before the first save, or after `forget`. */
  #life: string | undefined;
  #revision = 0;
  /** The record as it was restored, until it is known whether the engine took it. */
  #given: string | undefined;
  /** What this version cannot read and was set aside: it may be written over, unlike what a newer tab writes. */
  #aside: unknown;
  /** Events of this tab, and those that were left waiting, that are in no record yet. */
  #mine: PlainEvent[] = [];
  /** Texts of events that were left waiting, by place. */
  #left = new Map<string, string>();
  /** Events come from elsewhere just now. */
  #foreign = false;
  /** How often all was forgotten: what began before must not write after. */
  #forgotten = 0;
  #work: Promise<void> = Promise.resolve();
  #jotting: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(reranker: Reranker<C>, options: PersistOptions) {
    this.#reranker = reranker;
    this.#options = options;
    this.#at = places(options.key);
    this.#tab = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
    this.#tabs = new Tabs(options.store?.tabs === undefined ? undefined : `${options.store.tabs}/${this.#at.record}`, {
      heard: (events) => this.#join(events),
      forgotten: () => {
        this.#wiped();
        void this.#queue(() => this.#unjot());
      },
      left: () => this.#leave(),
      came: () => void this.saved(),
    });
  }

  async open(): Promise<void> {
    const { store, key } = this.#options;
    let kept: Kept | undefined;
    const waiting: PlainEvent[] = [];
    await this.#tried(async () => {
      const text = await store.get(this.#at.record);
      const found = readKept(text);
      if (found === "newer" || found === "corrupt") await this.#setAside((this.#aside = text) as string, found);
      else if (found) {
        kept = found;
        this.#given = text as string;
      }
      for (const place of await store.keys(this.#at.pending)) {
        const left = await store.get(place);
        this.#left.set(place, left as string);
        waiting.push(...readEvents(left));
      }
    });
    this.#life = kept?.life;
    this.#revision = kept?.revision ?? 0;
    this.session = this.#reranker.session({ key, snapshot: kept?.snapshot ?? null });
    this.#mine = this.#join(waiting);
    this.session.keeper = this;
    if (waiting.length > 0) this.#plan();
    void this.#reranker.ready.then(() => this.#queue(() => this.#bringBack()));
  }

  saved(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return this.#queue(() => this.#save());
  }

  forget(): Promise<void> {
    this.session.forget();
    return this.#work;
  }

  async stop(): Promise<void> {
    await this.saved();
    this.#stopped = true;
    this.session.keeper = undefined;
    clearTimeout(this.#timer);
    this.#tabs.close();
  }

  name(event: PlainEvent): void {
    event.id ??= `${this.#tab}-${++this.#count}`;
  }

  took(event: PlainEvent): boolean {
    if (this.#foreign) return false;
    // By its key; the row that it named is of this page alone.
    const plain = { ...event, candidate: undefined };
    this.#mine.push(plain);
    if (this.#mine.length > MAX_WAITING) this.#mine.shift();
    this.#tabs.tell([plain]);
    this.#jot();
    this.#plan();
    return true;
  }

  forgot(): void {
    this.#reset();
    if (this.#foreign) return;
    this.#tabs.forget();
    const { store } = this.#options;
    void this.#queue(() =>
      alone(this.#at.record, async () => {
        await this.#jotting;
        for (const place of [this.#at.record, this.#at.aside, ...(await store.keys(this.#at.pending))]) await store.delete(place);
      }),
    );
  }

  #reset(): void {
    this.#forgotten++;
    clearTimeout(this.#timer);
    this.#timer = this.#life = this.#given = undefined;
    this.#revision = 0;
    this.#mine = [];
    this.#left.clear();
  }

  /** Another tab forgot. */
  #wiped(): void {
    this.#foreign = true;
    try {
      this.session.forget();
    } finally {
      this.#foreign = false;
    }
  }

  /** Takes in events of elsewhere; those that count. */
  #join(events: PlainEvent[]): PlainEvent[] {
    this.#foreign = true;
    try {
      return events.filter((event) => this.session.observe(event as never).accepted);
    } finally {
      this.#foreign = false;
    }
  }

  #plan(): void {
    if (this.#stopped || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.saved(), this.#options.debounceMs ?? DEBOUNCE_MS);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  /** Writes the events down beside the record, one write at a time: a page may end without a word, and a snapshot of each event costs too much. */
  #jot(): void {
    const last = this.#mine.at(-1);
    if (this.#jotting || !last || this.#mine.length > MAX_JOTTED) return;
    // That it fails is said by the save that follows.
    this.#jotting = this.#wait().catch(() => undefined).then(() => {
      this.#jotting = undefined;
      if (this.#mine.at(-1) !== last) this.#jot();
    });
  }

  /** What was written down is kept otherwise by now, or not at all. */
  async #unjot(): Promise<void> {
    await this.#jotting;
    if (this.#mine.length === 0) await this.#options.store.delete(this.#at.pending + this.#tab);
  }

  /** The page is left: there is time to begin one write and for nothing that waits. */
  #leave(): void {
    if (this.#mine.length === 0) return;
    void this.#wait().catch(() => undefined);
    void this.saved();
  }

  async #wait(): Promise<void> {
    await this.#options.store.set(this.#at.pending + this.#tab, JSON.stringify(this.#mine));
  }

  #queue(work: () => Promise<void>): Promise<void> {
    return (this.#work = this.#work.then(() => this.#tried(work)));
  }

  async #tried(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      const isFull = (thrown as { name?: unknown } | null)?.name === "QuotaExceededError";
      this.#report(isFull ? "quota" : "unavailable", describe(thrown));
    }
  }

  #report(code: StorageProblem["code"], detail: string): void {
    const isNew = this.problem?.code !== code;
    this.problem = { code, detail };
    try {
      if (isNew) this.#options.onProblem?.(this.problem);
    } catch {
      // A listener's failure is its own.
    }
  }

  async #save(): Promise<void> {
    if (this.#mine.length === 0 && this.#life === undefined) return;
    // Without an engine nobody can say what a snapshot and an event make; the events wait beside it.
    if (this.#reranker.status.source !== "model") return this.#mine.length > 0 ? this.#wait() : undefined;
    await alone(this.#at.record, () => this.#replace());
  }

  /** Reads what is stored, adds what this tab knows, and writes it; nobody else does meanwhile. */
  async #replace(): Promise<void> {
    const { store } = this.#options;
    if (this.session.restored === false && this.#given !== undefined) await this.#setAside(this.#given, "newer");
    this.#given = undefined;
    let began = this.#forgotten;
    const text = await store.get(this.#at.record);
    if (began !== this.#forgotten) return;
    let stored = readKept(text);
    if (stored === "newer" && text !== this.#aside) return this.#report("newer", "another tab runs a newer ranklet");
    if (stored === "corrupt" || stored === "newer") stored = undefined;
    else if (this.#life !== undefined && stored?.life !== this.#life) {
      // Forgotten by a tab that this one did not hear of, and perhaps begun anew.
      this.#wiped();
      await this.#unjot();
      began = this.#forgotten;
      if (!stored) return;
    }
    const count = this.#mine.length;
    if (count === 0 && stored?.revision === this.#revision && !stored.evicted) return;
    const isOthers = stored && !stored.evicted && (this.#life === undefined || stored.revision !== this.#revision);
    const joined = isOthers || this.session.disposed ? this.#joined(stored?.snapshot ?? null) : null;
    if (isOthers && joined === null) await this.#setAside(text as string, "newer");
    if (began !== this.#forgotten) return;
    if (isOthers) this.#join(stored!.tail);
    const snapshot = joined ?? this.session.snapshot();
    const tail = [...(stored?.tail ?? []), ...this.#mine].slice(-TAIL);
    const life = stored?.life ?? this.#life ?? `${this.#tab}-${++this.#count}`;
    const kept = { life, revision: (stored?.revision ?? this.#revision) + 1, savedAt: Date.now(), snapshot, tail };
    await makeRoom(store, this.#at.record, () => store.set(this.#at.record, written(kept)));
    // Where there are no locks, another tab may have forgotten in between.
    if (began !== this.#forgotten) return store.delete(this.#at.record);
    this.#life = life;
    this.#revision = kept.revision;
    this.#mine.splice(0, count);
    if (this.problem?.code === "quota" || this.problem?.code === "unavailable") this.problem = null;
    for (const [place, left] of this.#left) if ((await store.get(place)) === left) await store.delete(place);
    this.#left.clear();
    await this.#unjot();
  }

  /** A stored context with this tab's events: in whichever order they come, they make the same. Null: it cannot be read. */
  #joined(snapshot: string | null): string | null {
    const other = this.#reranker.session({ snapshot });
    other.merge(this.#mine as never);
    const both = other.restored === false ? null : other.snapshot();
    other.dispose();
    return both;
  }

  /** What this version cannot read is kept for one that can, unless something is kept there already. */
  async #setAside(text: string, code: "newer" | "corrupt"): Promise<void> {
    const { store } = this.#options;
    if ((await store.get(this.#at.aside)) === undefined) await store.set(this.#at.aside, text);
    this.#report(code, "what was stored cannot be read by this version; it is kept aside");
  }

  /** What was kept aside takes its place again where this version can read it, with the latest events that came since. */
  async #bringBack(): Promise<void> {
    const { store } = this.#options;
    const aside = readKept(await store.get(this.#at.aside));
    if (typeof aside !== "object" || aside.snapshot === null || this.#reranker.status.source !== "model") return;
    await alone(this.#at.record, async () => {
      const now = readKept(await store.get(this.#at.record));
      if (typeof now !== "object") return;
      const other = this.#reranker.session({ snapshot: aside.snapshot });
      if (other.restored) {
        other.merge(now.tail as never);
        await store.set(this.#at.record, written({ ...now, revision: now.revision + 1, snapshot: other.snapshot() }));
        await store.delete(this.#at.aside);
      }
      other.dispose();
    });
  }
}

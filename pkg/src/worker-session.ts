import type { Meanings } from "./describe.js";
import { checkNames, readEvent, type PlainEvent } from "./events.js";
import { Marks } from "./marks.js";
import { RankletError, failure } from "./reasons.js";
import { copyItems, readRequest, type Shared } from "./request.js";
import { Shown } from "./shown.js";
import { parted } from "./snapshot.js";
import type { Id, LocalEvent, Merged, Observed, RerankRequest, SessionOptions, SignalValue } from "./types.js";
import { toText } from "./values.js";
import { orElse, type Line } from "./worker-line.js";
import { AsyncList } from "./worker-list.js";

/** `SignalOptions` with a list of this kind. */
export interface AsyncSignalOptions<C = unknown> {
  list?: AsyncList<C>;
  candidate?: Id;
  surface?: string;
  now?: number;
}

/** The local context of one user and account, kept in a worker. Calls reach it in the order in which they were made. */
export class AsyncSession<C = unknown> {
  readonly key: string;
  readonly #shared: Shared<C>;
  readonly #line: Line;
  readonly #nextList: () => number;
  readonly #marks = new Marks();
  readonly #shown = new Shown();
  readonly #lists = new Set<WeakRef<AsyncList<C>>>();
  // Frees what the collector found abandoned: a list per server response is seldom disposed by hand.
  readonly #abandoned: FinalizationRegistry<number> | undefined;
  #disposed = false;

  /** @internal */
  constructor(
    shared: Shared<C>,
    line: Line,
    options: SessionOptions | undefined,
    /** @internal */ readonly number: number,
    nextList: () => number,
  ) {
    this.#shared = shared;
    this.#line = line;
    this.#nextList = nextList;
    if (typeof FinalizationRegistry === "function") this.#abandoned = new FinalizationRegistry((list) => line.tell({ op: "drop", list }));
    let key = "";
    let snapshot: string | null = null;
    try {
      const given = options ?? {};
      if (typeof given.key === "string") key = given.key;
      if (typeof given.snapshot === "string") snapshot = given.snapshot;
      if (snapshot !== null) this.#restore(snapshot);
    } catch {
      // Options that cannot be read are none.
    }
    this.key = key;
    line.tell({ op: "session", session: number, options: { key, snapshot } });
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Whether the snapshot was taken up; null before there is an engine, or without one. */
  restored(): Promise<boolean | null> {
    return orElse(this.#line.ask<boolean | null>({ op: "restored", session: this.number }), () => null);
  }

  /** Takes a local event in: see `Session.observe`. Never rejects; what is not answered in time counts when the worker goes on. */
  observe(event: LocalEvent): Promise<Observed> {
    const refused = (reason: Observed["reason"]): Observed => ({ accepted: false, due: false, reason });
    try {
      if (this.#disposed) throw new RankletError("disposed", "the session was disposed");
      const plain = readEvent(event, this.#shared.clock);
      const complete: PlainEvent = { ...plain };
      this.#shown.complete(complete);
      checkNames(complete);
      if (complete.key !== undefined) this.#marks.apply(complete, complete.key, undefined);
      const asked = { op: "observe" as const, session: this.number, event: plain as LocalEvent };
      if (this.#line.coming) {
        this.#line.tell(asked);
        return Promise.resolve({ accepted: true, due: false, reason: null });
      }
      return orElse(this.#line.ask<Observed>(asked), refused);
    } catch (thrown) {
      return Promise.resolve(refused(failure(thrown, "request_invalid").code));
    }
  }

  /** Takes in events that the server knows: see `Session.merge`. */
  async merge(events: readonly LocalEvent[]): Promise<Merged> {
    const merged: Merged = { accepted: 0, refused: 0, due: false, reason: null };
    try {
      for (const observed of await Promise.all(copyItems(events).map((event) => this.observe(event)))) {
        if (observed.accepted) merged.accepted++;
        else merged.refused++;
        merged.due ||= observed.due;
        merged.reason ??= observed.reason;
      }
    } catch (thrown) {
      merged.reason = failure(thrown, "request_invalid").code;
    }
    return merged;
  }

  /** Takes one server response in. At once, for nothing is waited for: its objects are read here, once, and stay here. */
  prepare(request: RerankRequest<C>): AsyncList<C> {
    const prepared = readRequest(this.#shared, request);
    this.#shown.add(prepared);
    const list = new AsyncList(this, this.#shared, this.#line, prepared, this.#nextList());
    if (this.#disposed) list.end(new RankletError("stale_list", "the list's session was disposed"));
    else this.#lists.add(new WeakRef(list));
    this.#abandoned?.register(list, list.number);
    for (const held of this.#lists) if (!held.deref()) this.#lists.delete(held);
    return list;
  }

  /** The context as JSON, for a later session of this kind or the other. Null: nothing is known, or no answer came. */
  snapshot(): Promise<string | null> {
    return orElse(this.#line.ask<string | null>({ op: "snapshot", session: this.number }), () => null);
  }

  /** What is known here, by name: see `Session.signals`. */
  signals(options?: AsyncSignalOptions<C>): Promise<Record<string, SignalValue>> {
    const { list, candidate, surface, now = this.#shared.clock() } = options ?? {};
    const id = candidate === undefined ? undefined : (toText(candidate) ?? undefined);
    const asked = { ...(id !== undefined && { candidate: id }), ...(surface !== undefined && { surface }), now };
    return orElse(this.#line.ask({ op: "signals", session: this.number, list: list?.number ?? null, options: asked }), () => ({}));
  }

  /** @internal What `describeSignals` of `ranklet/describe` reads; null while there is no engine. */
  meanings(): Promise<Meanings | null> {
    return orElse(this.#line.ask({ op: "meanings", session: this.number }), () => null);
  }

  /** Wipes all local context. */
  async forget(): Promise<void> {
    this.#marks.clear();
    await orElse(this.#line.ask<void>({ op: "forget", session: this.number }), () => undefined);
  }

  /** Frees the session; its lists answer in server order, `stale_list`. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#line.tell({ op: "end", session: this.number });
    for (const list of this.#lists) list.deref()?.end(new RankletError("stale_list", "the list's session was disposed"));
    this.#lists.clear();
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal */
  mark(key: string, now: number): ReturnType<Marks["at"]> {
    return this.#marks.at(key, now);
  }

  #restore(snapshot: string): void {
    const { events, actions } = parted(snapshot, this.#shared.clock);
    this.#marks.restore(actions);
    for (const event of events) if (event.key !== undefined) this.#marks.apply(event, event.key, undefined);
  }
}

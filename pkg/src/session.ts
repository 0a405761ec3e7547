import type { Meanings } from "./describe.js";
import { DUE, checkNames, readEvent, sendEvent, type PlainEvent } from "./events.js";
import type { Running } from "./host.js";
import { List } from "./list.js";
import { Marks, isMarking, type Mark } from "./marks.js";
import type { Recorder } from "./recorder.js";
import { RankletError, failure } from "./reasons.js";
import { copyItems, readRequest, type Shared } from "./request.js";
import { Shown } from "./shown.js";
import { named } from "./signals.js";
import { joined, parted } from "./snapshot.js";
import type { LocalEvent, Merged, Observed, RerankRequest, SessionOptions, SignalOptions, SignalValue } from "./types.js";
import { toText } from "./values.js";

/** A session inside one engine; a new engine, or `forget`, makes a new one. */
export interface Held {
  running: Running;
  handle: number;
}

/** Who keeps a session beyond the page (`ranklet/storage`). */
export interface Keeper {
  /** Before an event is taken in: it may give it an id, by which other pages know it again. */
  name(event: PlainEvent): void;
  /** After that; whether it happened on this page, and is for its records. */
  took(event: PlainEvent): boolean;
  forgot(): void;
}

/** The local context of one user and account. Two sessions share no bit. */
export class Session<C = unknown> {
  readonly key: string;
  /** @internal */
  keeper: Keeper | undefined;
  /** @internal */
  readonly recorder: Recorder | undefined;
  readonly #shared: Shared<C>;
  readonly #marks = new Marks();
  readonly #lists = new Set<List<C>>();
  readonly #newest = new Map<string, List<C>>();
  readonly #shown = new Shown();
  // The journal: what a new engine needs to know all that this session knows.
  #snapshot: string | undefined;
  #events: PlainEvent[] = [];
  #held: Held | undefined;
  // Whether a snapshot was given, and whether it was taken up.
  #given = false;
  #restored: boolean | null = null;
  #replaying = false;
  /** Traps that are this session's own: at two its journal is dropped, at three it has no engine. */
  #traps = 0;
  #disposed = false;

  /** @internal */
  constructor(shared: Shared<C>, options: SessionOptions | undefined) {
    this.#shared = shared;
    this.recorder = shared.records.recorder();
    let key = "";
    try {
      const { key: given, snapshot } = options ?? {};
      if (typeof given === "string") key = given;
      if (typeof snapshot === "string") this.#restore(snapshot);
    } catch {
      // Options that cannot be read are none.
    }
    this.key = key;
    this.#quietly(() => this.attach());
  }

  /** Whether the snapshot was taken up; null before there is an engine, or without one. */
  get restored(): boolean | null {
    return this.#restored;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Takes a local event in; before the engine is there it is kept for it. Never throws. */
  observe(event: LocalEvent): Observed {
    try {
      return this.#observe(readEvent(event, this.#shared.clock));
    } catch (thrown) {
      return { accepted: false, due: false, reason: failure(thrown, "request_invalid").code };
    }
  }

  /** Takes one server response in; objects are read here, once, and never changed. Never throws. */
  prepare(request: RerankRequest<C>): List<C> {
    const prepared = readRequest(this.#shared, request);
    const list = new List(this, this.#shared, prepared);
    this.#shown.add(prepared);
    if (list.listId !== null) this.#supersede(list.listId, list);
    this.#quietly(() => list.attach());
    return list;
  }

  /** The context as JSON, to be given to a later session; with or without an engine, all of it. Null: nothing is known. */
  snapshot(): string | null {
    try {
      const { handle } = this.attach();
      return this.#shared.host.call((engine) => engine.snapshot(handle), this);
    } catch {
      return joined({ engine: this.#snapshot, events: this.#events });
    }
  }

  /**
   * Takes in events that the server knows, in any order: those that this session has seen are known by their ids, and of a
   * dismissal here and one there the later action holds. Never throws.
   */
  merge(events: readonly LocalEvent[]): Merged {
    const merged: Merged = { accepted: 0, refused: 0, due: false, reason: null };
    let all: LocalEvent[] = [];
    try {
      all = copyItems(events);
    } catch (thrown) {
      merged.reason = failure(thrown, "request_invalid").code;
    }
    for (const event of all) {
      const { accepted, due, reason } = this.observe(event);
      if (accepted) merged.accepted++;
      else merged.refused++;
      merged.due ||= due;
      merged.reason ??= reason;
    }
    return merged;
  }

  /**
   * What is known here, by name: the local signals, and with a list the facts of its request. Those of candidates only
   * where one is named: a row of the list, or else of any response; what hangs on its features (`local.draft.satisfies`)
   * only with the list. Empty while there is no engine.
   */
  signals(options?: SignalOptions<C>): Record<string, SignalValue> {
    try {
      const { list, candidate, surface, now = this.#shared.clock() } = options ?? {};
      if (list && !list.belongs(this)) return {};
      const { handle } = this.attach();
      // The glue takes what it is given for what it was promised, and only a string for a string.
      const place = surface ?? list?.surface ?? undefined;
      const id = candidate === undefined ? null : toText(candidate);
      if (typeof now !== "number" || (place !== undefined && typeof place !== "string") || (candidate !== undefined && id === null)) return {};
      const row = list && id !== null ? list.rowOf(id) : -1;
      const { key, type } = id !== null && row < 0 ? this.#shown.identity(id) : { key: undefined, type: undefined };
      const held = row < 0 ? 0 : list!.attach();
      const values = this.#shared.host.call((engine) => engine.signals(handle, held, row, key, type, place, now), this);
      return named(this.#shared.host.running!.info, values, list?.facts);
    } catch {
      return {};
    }
  }

  /** @internal What `describeSignals` of `ranklet/describe` reads; null while there is no engine. */
  meanings(): Meanings | null {
    const { host } = this.#shared;
    try {
      return { local: host.call((engine) => engine.describe()), columns: host.running!.info.columns };
    } catch {
      return null;
    }
  }

  /** Wipes all local context. Lists stay, and rank as for somebody unknown. */
  forget(): void {
    this.recorder?.forget();
    this.#marks.clear();
    this.#snapshot = undefined;
    this.#events = [];
    this.#restored = null;
    this.#given = false;
    this.#traps = 0;
    this.#release();
    this.keeper?.forgot();
    for (const list of this.#lists) list.due();
  }

  /** Frees the session; its lists answer in server order, `stale_list`. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.recorder?.forget();
    this.#release();
    for (const list of this.#lists) list.orphan();
    this.#lists.clear();
    this.#newest.clear();
    this.#shown.clear();
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal The session inside the running engine, made and replayed if need be. */
  attach(): Held {
    const { host } = this.#shared;
    if (this.#disposed) throw new RankletError("disposed", "the session was disposed");
    if (this.#isolated) throw new RankletError("trapped", "this session's context stopped the engine");
    if (this.#held && this.#held.running === host.running) return this.#held;
    const handle = host.call((engine) => engine.session());
    const held = { running: host.running!, handle };
    this.#replaying = true;
    try {
      this.#replay(handle);
    } finally {
      this.#replaying = false;
    }
    host.disown(this);
    host.adopt(this, held.running, (engine) => engine.session_free(handle));
    return (this.#held = held);
  }

  /** @internal Whether `held` is where the session stands now: not before `forget`, `dispose` or another engine. */
  holds(held: Held): boolean {
    return this.#held === held && held.running === this.#shared.host.running;
  }

  /**
   * @internal A call for this session stopped the engine. What is replayed, and a context that came from outside, is the
   * likely cause; then the session pays for it alone. What it knows is dropped but for the marks, at once if it was the
   * replay and else at the second trap, and if that does not help no engine is asked again.
   */
  trapped(): boolean {
    if (!this.#given && !this.#replaying) return false;
    this.#traps = Math.max(this.#traps + 1, this.#replaying ? 2 : 0);
    if (this.#traps >= 2) {
      this.#snapshot = undefined;
      this.#events = this.#marks.events();
      if (this.#given) this.#restored = false;
    }
    return true;
  }

  /** @internal */
  mark(key: string, now: number): Mark | undefined {
    return this.#marks.at(key, now);
  }

  /** @internal Lists with a subscriber are told when they are due. */
  watch(list: List<C>): void {
    if (!this.#disposed) this.#lists.add(list);
  }

  /** @internal */
  unwatch(list: List<C>, gone: boolean): void {
    this.#lists.delete(list);
    const id = list.listId;
    if (gone && id !== null && this.#newest.get(id) === list) this.#newest.delete(id);
  }

  #observe(event: PlainEvent): Observed {
    const { host, maxEvents } = this.#shared;
    if (this.#disposed) throw new RankletError("disposed", "the session was disposed");
    this.#shown.complete(event);
    checkNames(event);
    this.keeper?.name(event);
    let due = false;
    const handle = this.#reach();
    const full = this.#events.length >= maxEvents;
    if (handle !== undefined) {
      due = (host.call((engine) => sendEvent(engine, handle, event), this) & DUE) > 0;
      // The event counts whether or not the journal can be shortened now.
      if (this.#events.push(event) >= maxEvents) this.#quietly(() => this.#compact(handle));
    } else if (isMarking(event.type) || !(host.closed || this.#isolated)) {
      // Where no engine will ever come, the marks are all that an event can change, here and in a later session.
      if (full) {
        if (host.mayCome && !this.#isolated) throw new RankletError("limit_exceeded", `${maxEvents} events wait for the engine`);
        this.#events.splice(Math.max(0, this.#events.findIndex(({ type }) => !isMarking(type))), 1);
      }
      this.#events.push(event);
    }
    if (this.keeper?.took(event) ?? true) this.recorder?.observed(event);
    if (this.#mark(event)) due = true;
    if (due) for (const list of this.#lists) list.due();
    return { accepted: true, due, reason: null };
  }

  get #isolated(): boolean {
    return this.#traps > 2;
  }

  /** The session's handle; undefined if there is no engine for it, or none any more. */
  #reach(): number | undefined {
    const { host } = this.#shared;
    try {
      return host.running && this.attach().handle;
    } catch (thrown) {
      if (host.running && !this.#isolated) throw thrown;
      return undefined;
    }
  }

  #mark(event: PlainEvent): boolean {
    return event.key !== undefined && this.#marks.apply(event, event.key, this.#shared.host.running?.info);
  }

  #restore(snapshot: string): void {
    const { engine, events, actions } = parted(snapshot, this.#shared.clock);
    this.#given = true;
    this.#snapshot = engine;
    this.#events = events.slice(-this.#shared.maxEvents);
    this.#marks.restore(actions);
    for (const event of events) this.#mark(event);
  }

  #replay(handle: number): void {
    const { host } = this.#shared;
    const snapshot = this.#snapshot;
    const taken = snapshot === undefined || this.#taken(() => host.call((engine) => engine.restore(handle, snapshot), this));
    if (this.#given) this.#restored ??= taken;
    // An event that the engine refuses was queued before there was one to ask.
    this.#events = this.#events.filter((event) => this.#taken(() => host.call((engine) => sendEvent(engine, handle, event), this)));
  }

  /** Whether the engine took something; a refusal is an answer, a trap is not. */
  #taken(use: () => unknown): boolean {
    try {
      use();
      return true;
    } catch (thrown) {
      if (!this.#shared.host.running) throw thrown;
      return false;
    }
  }

  #compact(handle: number): void {
    this.#snapshot = this.#shared.host.call((engine) => engine.snapshot(handle), this);
    this.#events = [];
  }

  #supersede(listId: string, list: List<C>): void {
    const before = this.#newest.get(listId);
    if (before && before.preparedAt > list.preparedAt) {
      list.supersede();
      return;
    }
    before?.supersede();
    this.#newest.delete(listId);
    this.#newest.set(listId, list);
    // Ids that are never used again must not keep their lists for ever.
    if (this.#newest.size > 64) this.#newest.delete(this.#newest.keys().next().value!);
  }

  #release(): void {
    const held = this.#held;
    this.#held = undefined;
    if (!held) return;
    this.#shared.host.disown(this);
    this.#shared.host.release(held.running, (engine) => engine.session_free(held.handle));
  }

  #quietly(use: () => unknown): void {
    try {
      use();
    } catch {
      // The next call meets the same failure and answers with it.
    }
  }
}

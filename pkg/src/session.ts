import { readEvent, type PlainEvent } from "./events.js";
import type { Running } from "./host.js";
import { List } from "./list.js";
import { Marks, type Mark } from "./marks.js";
import { RankletError, failure } from "./reasons.js";
import { readRequest, type Names, type Shared } from "./request.js";
import type { LocalEvent, Observed, RerankRequest, SessionOptions } from "./types.js";

/** How many of the last responses an event's `candidate` may name a row of. */
const REMEMBERED = 16;

/** A session inside one engine; a new engine, or `forget`, makes a new one. */
export interface Held {
  running: Running;
  handle: number;
}

/** The local context of one user and account. Two sessions share no bit. */
export class Session<C = unknown> {
  readonly key: string;
  readonly #shared: Shared<C>;
  readonly #marks = new Marks();
  readonly #lists = new Set<List<C>>();
  readonly #newest = new Map<string, List<C>>();
  #names: Names[] = [];
  // The journal: what a new engine needs to know all that this session knows.
  #snapshot: string | undefined;
  #events: PlainEvent[] = [];
  #held: Held | undefined;
  #restored: boolean | null = null;
  #disposed = false;

  /** @internal */
  constructor(shared: Shared<C>, options: SessionOptions | undefined) {
    this.#shared = shared;
    let key = "";
    try {
      const { key: given, snapshot } = options ?? {};
      if (typeof given === "string") key = given;
      if (typeof snapshot === "string") this.#snapshot = snapshot;
    } catch {
      // Options that cannot be read are none.
    }
    this.key = key;
    if (this.#snapshot !== undefined) this.#marks.restore(this.#snapshot);
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
    this.#names.unshift(prepared.names);
    if (this.#names.length > REMEMBERED) this.#names.pop();
    if (list.listId !== null) this.#supersede(list.listId, list);
    this.#quietly(() => list.attach());
    return list;
  }

  /** The context as JSON, to be given to a later session. What the engine has not seen yet is not in it. */
  snapshot(): string | null {
    try {
      const { handle } = this.attach();
      return this.#shared.host.call((engine) => engine.snapshot(handle));
    } catch {
      return this.#snapshot ?? null;
    }
  }

  /** The local signals that candidates share, by name, for inspection; empty while there is no engine. */
  signals(surface?: string, now?: number): Record<string, number | null> {
    try {
      const time = now ?? this.#shared.clock();
      const { handle } = this.attach();
      // The glue takes what it is given for what it was promised, and only a string for a string.
      if (typeof time !== "number" || (surface !== undefined && typeof surface !== "string")) return {};
      return this.#shared.host.call((engine) => engine.signals(handle, surface, time));
    } catch {
      return {};
    }
  }

  /** Wipes all local context. Lists stay, and rank as for somebody unknown. */
  forget(): void {
    this.#marks.clear();
    this.#snapshot = undefined;
    this.#events = [];
    this.#restored = null;
    this.#release();
    for (const list of this.#lists) list.due();
  }

  /** Frees the session; its lists answer in server order, `stale_list`. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#release();
    this.#lists.clear();
    this.#newest.clear();
    this.#names = [];
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal The session inside the running engine, made and replayed if need be. */
  attach(): Held {
    const { host } = this.#shared;
    if (this.#disposed) throw new RankletError("disposed", "the session was disposed");
    if (this.#held && this.#held.running === host.running) return this.#held;
    const handle = host.call((engine) => engine.session());
    const held = { running: host.running!, handle };
    this.#replay(handle);
    host.disown(this);
    host.adopt(this, held.running, (engine) => engine.session_free(handle));
    return (this.#held = held);
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
    this.#resolve(event);
    let due = false;
    if (host.running) {
      const { handle } = this.attach();
      due = host.call((engine) => engine.observe(handle, event));
      if (this.#events.length >= maxEvents) this.#compact(handle);
    } else if (host.mayCome && this.#events.length >= maxEvents) {
      throw new RankletError("limit_exceeded", `${maxEvents} events wait for the engine`);
    }
    // Where no engine will ever come, the marks are all that an event can change.
    if (host.running || host.mayCome) this.#events.push(event);
    const key = event.key;
    if (key !== undefined && this.#marks.apply(event.type, key, event.time, event.value, host.running?.info.suppressed_ms)) due = true;
    if (due) for (const list of this.#lists) list.due();
    return { accepted: true, due, reason: null };
  }

  /**
   * Fills in what the candidate is known by, so that the event stands without the lists when it is replayed. As in the
   * engine, the newest response counts, and in it the first row of a key.
   */
  #resolve(event: PlainEvent): void {
    const { candidate } = event;
    if (event.key === undefined && candidate !== undefined) {
      const names = this.#names.find(({ rowOf }) => rowOf.has(candidate));
      event.key = names ? names.keys[names.rowOf.get(candidate)!]! : candidate;
    }
    if (event.key !== undefined) event.candidate_type ??= this.#typeOf(event.key);
  }

  #typeOf(key: string): string | undefined {
    for (const { keys, types } of this.#names) {
      const row = keys.indexOf(key);
      if (row >= 0) return types[row] ?? undefined;
    }
    return undefined;
  }

  #replay(handle: number): void {
    const { host } = this.#shared;
    const snapshot = this.#snapshot;
    if (snapshot !== undefined) {
      this.#restored = this.#taken(() => host.call((engine) => engine.restore(handle, snapshot)));
    }
    // An event that the engine refuses was queued before there was one to ask.
    this.#events = this.#events.filter((event) => this.#taken(() => host.call((engine) => engine.observe(handle, event))));
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
    this.#snapshot = this.#shared.host.call((engine) => engine.snapshot(handle));
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

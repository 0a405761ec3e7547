import { budgetOf, readRows } from "./budget.js";
import { NONE_FROZEN, keepFacts, readFrozen, type FrozenRows } from "./candidates.js";
import { encode, encodeFacts, type Encoded } from "./columns.js";
import { HEADER, ITEM, type Engine } from "./engine.js";
import type { Running } from "./host.js";
import { Ranking, type Ranked } from "./ranking.js";
import { RankletError, failure } from "./reasons.js";
import { nameRows, readPage, type Names, type Part, type Prepared, type Shared } from "./request.js";
import { frozenFlags, keepsFrozen, serverOrder } from "./server-order.js";
import type { Held, Session } from "./session.js";
import type { Facts, RerankOptions } from "./types.js";
import { toText } from "./values.js";

/** Where a list stands in an engine: good as long as its session stands there. */
interface HeldList {
  session: Held;
  handle: number;
  /** Where the engine believes each row to stand. */
  order: Uint32Array;
}

/** One server response, ranked as often as the context changes. */
export class List<C = unknown> {
  /** The request's `list_id`. */
  readonly listId: string | null;
  /** The request's `now`. */
  readonly preparedAt: number;
  readonly #session: Session<C>;
  readonly #shared: Shared<C>;
  readonly #items: C[];
  readonly #names: Names;
  readonly #request: Prepared<C>;
  // The journal: what a new engine is given to hold this list again.
  readonly #parts: Part[] = [];
  #facts: Facts;
  #updated = false;
  // Given and not yet read; more than one where reading one gave another.
  readonly #pages: (readonly C[])[] = [];
  // What is wrong with the list for good, and with its facts until others come.
  #broken: RankletError | null;
  #unreadable: RankletError | null = null;
  /** The engine that would not take the list, and why; another may. */
  #refusal: { running: Running; error: RankletError } | null = null;
  #held: HeldList | null = null;
  // The order last given, and the marks that the model gave last, by row.
  #order: Uint32Array;
  #suppressed: Uint8Array | null = null;
  #last: Ranking<C> | null = null;
  readonly #subscribers = new Set<{ listener: () => void }>();
  #told = false;
  readonly #engineChanged = () => {
    const { running, isOff } = this.#shared.host;
    if (running || isOff) this.due();
  };

  /** @internal */
  constructor(session: Session<C>, shared: Shared<C>, prepared: Prepared<C>) {
    this.#session = session;
    this.#shared = shared;
    this.#request = prepared;
    this.#items = prepared.items;
    this.#names = prepared.names;
    this.#facts = prepared.facts;
    this.#broken = prepared.broken;
    if (prepared.part) this.#parts.push(prepared.part);
    this.#order = serverOrderOf(prepared.items);
    this.listId = prepared.listId;
    this.preparedAt = prepared.now;
  }

  /** The items' ids as text, in the order last given; the server's before the first. */
  get ids(): string[] {
    return Array.from(this.#order, (row) => this.#names.ids[row] ?? "");
  }

  /** The order for now: the model's, or the server's with a reason. Synchronous; never throws. */
  rerank(options?: RerankOptions): Ranking<C> {
    let frozen = NONE_FROZEN;
    let now = NaN;
    try {
      const time = options?.now ?? this.#shared.clock();
      if (Number.isFinite(time)) now = time;
      frozen = readFrozen(options?.frozen ?? this.#request.frozen, this.#names.rowOf);
      if (now !== now) throw new RankletError("request_invalid", "now is not a number of ms");
      return this.#give(this.#model(frozen, now, options ?? {}));
    } catch (thrown) {
      return this.#give(this.#server(this.#broken ?? failure(thrown, "request_invalid"), frozen, now));
    }
  }

  /**
   * A further page of the same response. What is visible stays: a page stands last until the next `rerank`, and `frozen`
   * holds the rest. An id that the list holds already is passed over, for pages overlap where the server's list moved;
   * what cannot be read stands in the list and makes it server order.
   */
  append(candidates: readonly C[]): void {
    // An accessor may append while it is read: that page comes after the one it belongs to.
    if (this.#pages.push(candidates) > 1) return;
    for (; this.#pages.length > 0; this.#pages.shift()) this.#append(this.#pages[0]!);
    this.due();
  }

  /** New facts of the request, in place of those before. Facts that cannot be read make it server order until others come. */
  update(facts: Facts): void {
    this.#unreadable = null;
    try {
      this.#facts = keepFacts(facts);
      this.#updated = true;
      const running = this.#shared.host.running;
      if (running && !this.#broken && this.#isHeld()) this.#sendFacts(running, this.#held!.handle);
    } catch (thrown) {
      const error = failure(thrown, "request_invalid");
      if (!isTrap(error)) this.#unreadable = error;
    } finally {
      this.due();
    }
  }

  /**
   * Has `listener` called when a re-rank would tell something new: an event that counts, a page, facts, a newer response,
   * an engine that came. Always later, never inside the call that was the cause, and once for all causes of one moment.
   * What happened before counts with the next `rerank`. Returns what ends it.
   */
  subscribe(listener: () => void): () => void {
    if (this.#broken?.code === "disposed") return () => undefined;
    const subscription = { listener };
    this.#subscribers.add(subscription);
    this.#session.watch(this);
    if (!this.#session.disposed) this.#shared.host.changed.add(this.#engineChanged);
    return () => {
      if (this.#subscribers.delete(subscription) && this.#subscribers.size === 0) this.#unwatch(false);
    };
  }

  /** Frees the list; afterwards server order, `disposed`. */
  dispose(): void {
    this.#broken = new RankletError("disposed", "the list was disposed");
    this.#subscribers.clear();
    this.#unwatch(true);
    this.#drop();
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal The row of a candidate's id; -1 if there is none. */
  rowOf(id: string): number {
    return this.#names.rowOf.get(id) ?? -1;
  }

  /** @internal Another order of these rows stands on the page than the one last given. */
  shown(order: Uint32Array): void {
    if (order.length === this.#order.length) this.#order = order;
  }

  /** @internal */
  belongs(session: Session<C>): boolean {
    return this.#session === session;
  }

  /** @internal */
  get facts(): Facts {
    return this.#facts;
  }

  /** @internal */
  get surface(): string | null {
    return this.#names.surface;
  }

  /** @internal A newer response took the place of this one. */
  supersede(): void {
    if (this.#broken?.code === "disposed") return;
    this.#broken = new RankletError("superseded", "a newer response of the same list_id was prepared");
    this.#drop();
    this.due();
  }

  /** @internal Its session was disposed. Only a list that somebody listens to hangs on the engine. */
  orphan(): void {
    this.due();
    this.#shared.host.changed.delete(this.#engineChanged);
  }

  /** @internal */
  due(): void {
    if (this.#told || this.#subscribers.size === 0) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      for (const subscription of [...this.#subscribers]) {
        // One listener may end another's subscription.
        if (!this.#subscribers.has(subscription)) continue;
        try {
          subscription.listener();
        } catch {
          // A listener's own failure must not keep the others from being told.
        }
      }
    });
  }

  /** @internal Puts the list into the running engine, if it is not there yet. */
  attach(): number {
    const wrong = this.#broken ?? this.#unreadable;
    if (wrong) throw wrong;
    const { host } = this.#shared;
    if (this.#session.disposed && host.status().reason !== "disposed") {
      throw new RankletError("stale_list", "the list's session was disposed");
    }
    const session = this.#session.attach();
    if (this.#held?.session === session) return this.#held.handle;
    const { running } = session;
    if (this.#refusal?.running === running) throw this.#refusal.error;
    try {
      this.#held = { session, handle: this.#send(session), order: serverOrderOf(this.#items) };
    } catch (thrown) {
      let error = failure(thrown, "request_invalid");
      if (host.running === running) {
        // What an engine took before and this one does not is stale.
        if (this.#held) error = new RankletError("stale_list", error.message);
        this.#refusal = { running, error };
      }
      throw error;
    }
    const { handle } = this.#held;
    host.disown(this);
    host.adopt(this, running, (engine) => engine.list_free(handle));
    return handle;
  }

  #send(session: Held): number {
    const { deadlineMs } = this.#shared;
    const { running } = session;
    const { listId, decisionId, seed, now } = this.#request;
    const [first, ...more] = this.#parts;
    const { n, columns, pool, lengths } = encodedOf(running, first!, this.#facts);
    const options = {
      surface: this.#names.surface, now, decision_id: decisionId, list_id: listId, seed, deadline_ms: deadlineMs ?? null,
    };
    const handle = this.#call((engine) => engine.prepare(session.handle, options, n, columns, pool, lengths));
    for (const part of more) this.#sendPart(running, handle, part);
    if (this.#updated) this.#sendFacts(running, handle);
    return handle;
  }

  #sendPart(running: Running, handle: number, part: Part): void {
    const { n, columns, pool, lengths } = encodedOf(running, part, null);
    this.#call((engine) => engine.append(handle, n, columns, pool, lengths));
  }

  #sendFacts(running: Running, handle: number): void {
    const { columns, pool, lengths } = encodeFacts(running.plan, this.#facts);
    this.#call((engine) => engine.update_facts(handle, columns, pool, lengths));
  }

  #call<T>(use: (engine: Engine) => T): T {
    return this.#shared.host.call(use, this.#session);
  }

  #isHeld(): boolean {
    return this.#held !== null && this.#session.holds(this.#held.session);
  }

  #model(frozen: FrozenRows, now: number, options: RerankOptions): Ranked {
    // The caller's code stands outside of the call: its options and its clock may throw, which is no trap, or come back here.
    const { host, clock, deadlineMs } = this.#shared;
    const budget = budgetOf(host);
    const rows = readRows(options.rows) ?? budget.rows(deadlineMs);
    const decisionId = toText(options.decision_id) ?? undefined;
    const { seed } = options;
    this.#synchronised(frozen);
    const began = clock();
    const handle = this.#synchronised(frozen);
    const { info } = host.running!;
    const values = this.#call((engine) => engine.rerank(handle, now, frozen.count, frozen.rows, rows, seed, decisionId));
    const n = values[2]!;
    const width = ITEM + 2 * values[3]!;
    const order = new Uint32Array(n);
    const suppressed = new Uint8Array(n);
    for (let place = 0; place < n; place++) {
      const at = HEADER + place * width;
      order[place] = values[at]!;
      suppressed[values[at]!] = values[at + 6]!;
    }
    this.#suppressed = suppressed;
    const reason = values[0] === 1 ? null : (info.reasons[values[1]!] ?? "score_not_finite");
    if (reason === null) this.#held!.order = order;
    budget.learn(values[4]!, clock() - began);
    const record = (full: boolean) => (this.#isHeld() ? (this.#call((engine) => engine.record(handle, full)) ?? null) : null);
    return { order, suppressed, frozen: null, reason, detail: "", now, values, info, record };
  }

  /**
   * The engine keeps frozen items where its own last order has them. That order is another than the one on the page after
   * an answer that the engine did not give; a list made anew stands in server order, which is what most such answers were.
   */
  #synchronised({ count, rows }: FrozenRows): number {
    const handle = this.attach();
    const held = this.#held!;
    // An engine that was made anew does not know what stands on screen, and what is frozen stands there.
    if (!keepsFrozen(this.#order, held.order, count, rows)) {
      const shown = this.#order;
      this.#call((engine) => engine.shown(handle, shown));
      held.order = shown;
    }
    return handle;
  }

  #server(error: RankletError, { count, rows }: FrozenRows, now: number): Ranked {
    const frozen = frozenFlags(this.#order, count, rows);
    const order = serverOrder(this.#order, frozen);
    const suppressed = Uint8Array.from(order, (_, row) => this.#mark(row, now));
    const info = this.#shared.host.running?.info ?? null;
    return { order, suppressed, frozen, reason: error.code, detail: error.message, now, values: null, info, record: null };
  }

  #mark(row: number, now: number): number {
    const key = this.#names.keys[row];
    return (key === undefined ? undefined : this.#session.mark(key, now)) ?? this.#suppressed?.[row] ?? 0;
  }

  #give(ranked: Ranked): Ranking<C> {
    this.#order = ranked.order;
    const { records } = this.#shared;
    const isLast = () => this.#last === ranking;
    const ranking: Ranking<C> = new Ranking(ranked, this.#items, this.#names, this.#request, isLast, records, this.#session.recorder);
    this.#last = ranking;
    ranking.tell();
    return ranking;
  }

  /** Reads a page, and then takes it in at once: nothing of the caller's runs in between. */
  #append(candidates: readonly C[]): void {
    const { items, rows, part, error } = readPage(this.#shared, this.#names, candidates);
    // Where the response could not be read, its rows have no names that more could be added to.
    if (rows && this.#names.ids.length === this.#items.length) nameRows(this.#names, rows);
    for (const item of items) this.#items.push(item);
    this.#order = extended(this.#order, this.#items.length);
    if (this.#held) this.#held.order = extended(this.#held.order, this.#items.length);
    if (this.#broken) return;
    this.#broken = error;
    if (!part || items.length === 0) return;
    this.#parts.push(part);
    const running = this.#shared.host.running;
    if (!running || !this.#isHeld()) return;
    try {
      this.#sendPart(running, this.#held!.handle, part);
    } catch (thrown) {
      const refused = failure(thrown, "request_invalid");
      if (!isTrap(refused)) this.#broken ??= refused;
    }
  }

  #unwatch(gone: boolean): void {
    this.#session.unwatch(this, gone);
    this.#shared.host.changed.delete(this.#engineChanged);
  }

  /** Lets go of all that only the model's order needs. */
  #drop(): void {
    this.#parts.length = 0;
    this.#updated = false;
    this.#release();
  }

  #release(): void {
    const held = this.#held;
    this.#held = null;
    if (!held) return;
    this.#shared.host.disown(this);
    this.#shared.host.release(held.session.running, (engine) => engine.list_free(held.handle));
  }
}

/** A part as its engine takes it; what was kept to make it of is let go. */
function encodedOf(running: Running, part: Part, facts: Facts | null): Encoded {
  if (!part.encoded) {
    part.encoded = encode(running.plan, part.rows, facts);
    part.rows.features = [];
  }
  // What was read for one bundle's columns says nothing about another's.
  if (part.encoded.key !== running.plan.key) throw new RankletError("stale_list", "another bundle reads other columns");
  return part.encoded;
}

/** A trap is the engine's trouble: the list is whole and goes into the next one. */
function isTrap({ code }: RankletError): boolean {
  return code === "trapped" || code === "out_of_memory";
}

function serverOrderOf(items: readonly unknown[]): Uint32Array {
  return Uint32Array.from(items, (_, row) => row);
}

/** What is appended stands last. */
function extended(order: Uint32Array, length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, place) => order[place] ?? place);
}

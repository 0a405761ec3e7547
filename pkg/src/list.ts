import { budgetOf, readRows } from "./budget.js";
import { NONE_FROZEN, keepFacts, readFrozen, type FrozenRows } from "./candidates.js";
import { encode, encodeFacts, type Encoded } from "./columns.js";
import { HEADER, ITEM, type Engine } from "./engine.js";
import type { Running } from "./host.js";
import { Ranking, type Ranked } from "./ranking.js";
import { RankletError, failure } from "./reasons.js";
import { copyItems, readPart, type Names, type Part, type Prepared, type Shared } from "./request.js";
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
  #updated: Encoded | "later" | null = null;
  #broken: RankletError | null;
  #held: HeldList | null = null;
  // The order last given, and the marks that the model gave last, by row.
  #order: Uint32Array;
  #suppressed: Uint8Array | null = null;
  #last: Ranking<C> | null = null;
  readonly #subscribers = new Set<() => void>();
  #told = false;
  readonly #engineChanged = () => {
    if (this.#shared.host.running) this.due();
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

  /** The order for now: the model's, or the server's with a reason. Synchronous; never throws. */
  rerank(options?: RerankOptions): Ranking<C> {
    let frozen = NONE_FROZEN;
    let now = NaN;
    try {
      const time = options?.now ?? this.#shared.clock();
      if (typeof time === "number") now = time;
      frozen = readFrozen(options?.frozen ?? this.#request.frozen, this.#names.rowOf);
      if (!Number.isFinite(now)) throw new RankletError("request_invalid", "now is not a number of ms");
      return this.#give(this.#model(frozen, now, options ?? {}));
    } catch (thrown) {
      return this.#give(this.#server(failure(thrown, "request_invalid"), frozen, now));
    }
  }

  /** More candidates of the same response, after those there are. They stand in the list even where they cannot be ranked. */
  append(candidates: readonly C[]): void {
    try {
      for (const item of copyItems(candidates)) this.#items.push(item);
      if (this.#broken) return;
      const part = readPart(this.#shared, this.#names, this.#items, null);
      this.#parts.push(part);
      const running = this.#shared.host.running;
      if (running && this.#isHeld()) this.#sendPart(running, this.#held!.handle, part);
    } catch (thrown) {
      this.#break(thrown);
    } finally {
      this.#order = extended(this.#order, this.#items.length);
      if (this.#held) this.#held.order = extended(this.#held.order, this.#items.length);
      this.due();
    }
  }

  /** New facts of the request, in place of those before. */
  update(facts: Facts): void {
    try {
      this.#facts = keepFacts(facts);
      this.#updated = "later";
      const running = this.#shared.host.running;
      if (running && this.#isHeld()) this.#sendFacts(running, this.#held!.handle);
    } catch (thrown) {
      this.#break(thrown);
    } finally {
      this.due();
    }
  }

  /** Has `listener` called, soon and once for several causes, when a re-rank would tell something new. Returns what ends it. */
  subscribe(listener: () => void): () => void {
    this.#subscribers.add(listener);
    this.#session.watch(this);
    this.#shared.host.changed.add(this.#engineChanged);
    return () => {
      this.#subscribers.delete(listener);
      if (this.#subscribers.size === 0) this.#unwatch(false);
    };
  }

  /** Frees the list; afterwards server order, `disposed`. */
  dispose(): void {
    this.#broken = new RankletError("disposed", "the list was disposed");
    this.#subscribers.clear();
    this.#unwatch(true);
    this.#release();
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal A newer response took the place of this one. */
  supersede(): void {
    if (this.#broken?.code === "disposed") return;
    this.#broken = new RankletError("superseded", "a newer response of the same list_id was prepared");
    this.#release();
    this.due();
  }

  /** @internal */
  due(): void {
    if (this.#told || this.#subscribers.size === 0) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      for (const listener of [...this.#subscribers]) {
        try {
          listener();
        } catch {
          // A listener's own failure must not keep the others from being told.
        }
      }
    });
  }

  /** @internal Puts the list into the running engine, if it is not there yet. */
  attach(): number {
    if (this.#broken) throw this.#broken;
    const { host } = this.#shared;
    if (this.#session.disposed && host.status().reason !== "disposed") {
      throw new RankletError("stale_list", "the list's session was disposed");
    }
    const session = this.#session.attach();
    if (this.#held?.session === session) return this.#held.handle;
    try {
      this.#held = { session, handle: this.#send(session), order: serverOrderOf(this.#items) };
    } catch (thrown) {
      if (host.running === session.running) this.#refused(thrown);
      throw this.#broken ?? thrown;
    }
    const { running } = session;
    const { handle } = this.#held;
    host.disown(this);
    host.adopt(this, running, (engine) => engine.list_free(handle));
    return handle;
  }

  /** What the engine would not take the first time is wrong; what it took before and no longer takes is stale. */
  #refused(thrown: unknown): void {
    const error = failure(thrown, "request_invalid");
    this.#broken = this.#held ? new RankletError("stale_list", error.message) : error;
  }

  #send(session: Held): number {
    const { deadlineMs } = this.#shared;
    const { running } = session;
    const { listId, decisionId, seed, now } = this.#request;
    const [first, ...more] = this.#parts;
    const { n, columns, pool, lengths } = (first!.encoded ??= encode(running.plan, first!.rows, this.#facts));
    const options = {
      surface: this.#names.surface, now, decision_id: decisionId, list_id: listId, seed, deadline_ms: deadlineMs ?? null,
    };
    const handle = this.#call((engine) => engine.prepare(session.handle, options, n, columns, pool, lengths));
    for (const part of more) this.#sendPart(running, handle, part);
    if (this.#updated) this.#sendFacts(running, handle);
    return handle;
  }

  #sendPart(running: Running, handle: number, part: Part): void {
    const { n, columns, pool, lengths } = (part.encoded ??= encode(running.plan, part.rows, null));
    this.#call((engine) => engine.append(handle, n, columns, pool, lengths));
  }

  #sendFacts(running: Running, handle: number): void {
    if (this.#updated === "later") this.#updated = encodeFacts(running.plan, this.#facts);
    const { columns, pool, lengths } = this.#updated!;
    this.#call((engine) => engine.update_facts(handle, columns, pool, lengths));
  }

  #call<T>(use: (engine: Engine) => T): T {
    return this.#shared.host.call(use, this.#session);
  }

  #isHeld(): boolean {
    return this.#held !== null && this.#held.session.running === this.#shared.host.running;
  }

  #model(frozen: FrozenRows, now: number, options: RerankOptions): Ranked {
    const handle = this.#synchronised(frozen);
    const { host, clock, deadlineMs } = this.#shared;
    const budget = budgetOf(host);
    const rows = readRows(options.rows) ?? budget.rows(deadlineMs);
    const decisionId = toText(options.decision_id) ?? undefined;
    const began = clock();
    const values = this.#call((engine) => {
      return engine.rerank(handle, now, frozen.count, frozen.rows, rows, options.seed, decisionId);
    });
    budget.learn(values[4]!, clock() - began);
    const { info } = this.#shared.host.running!;
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

  #break(thrown: unknown): void {
    const error = failure(thrown, "request_invalid");
    // A trap is the engine's trouble: the list is whole and goes into the next one.
    if (error.code !== "trapped") this.#broken ??= error;
  }

  #unwatch(gone: boolean): void {
    this.#session.unwatch(this, gone);
    this.#shared.host.changed.delete(this.#engineChanged);
  }

  #release(): void {
    const held = this.#held;
    this.#held = null;
    if (!held) return;
    this.#shared.host.disown(this);
    this.#shared.host.release(held.session.running, (engine) => engine.list_free(held.handle));
  }
}

function serverOrderOf(items: readonly unknown[]): Uint32Array {
  return Uint32Array.from(items, (_, row) => row);
}

/** What is appended stands last. */
function extended(order: Uint32Array, length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, place) => order[place] ?? place);
}

import { NONE_FROZEN, keepFacts, readFrozen, type FrozenRows } from "./candidates.js";
import { MARK_NAMES } from "./marks.js";
import { RankletError, failure, type Reason } from "./reasons.js";
import { nameRows, readPage, type Prepared, type Shared } from "./request.js";
import { frozenFlags, serverOrder } from "./server-order.js";
import type { Entry, Facts, Id, RerankOptions } from "./types.js";
import { toText } from "./values.js";
import { pack, packFacts, unpackEntries, type PackedRanking, type RerankAsk } from "./worker-messages.js";
import type { AsyncSession } from "./worker-session.js";
import type { Line } from "./worker-line.js";

/** One answer of an asynchronous `rerank`: a `Ranking` but for its record, which `onRecord` is told. It does not change. */
export class AsyncRanking<C = unknown> {
  /** The caller's own objects, every one of them, in order. */
  readonly items: C[];
  readonly source: "model" | "server";
  /** Why it is the server's order; null for the model's. */
  readonly reason: Reason | null;
  /** One line for a person; empty when there is nothing to say. */
  readonly detail: string;
  /** Candidates that the model was run for. */
  readonly rowsRun: number;
  /** Whether a work budget left candidates without a score. */
  readonly degraded: boolean;
  readonly #make: () => Entry<C>[];
  readonly #exposed: (id: string, visibleMs: number) => void;
  #entries: Entry<C>[] | undefined;

  /** @internal */
  constructor(packed: PackedRanking, items: readonly C[], make: () => Entry<C>[], exposed: (id: string, visibleMs: number) => void) {
    this.items = Array.from(packed.order, (row) => items[row]!);
    this.source = packed.source;
    this.reason = packed.reason;
    this.detail = packed.detail;
    this.rowsRun = packed.rowsRun;
    this.degraded = packed.degraded;
    this.#make = make;
    this.#exposed = exposed;
  }

  /** One entry for each item, in the same order; made when first asked for. */
  get entries(): Entry<C>[] {
    return (this.#entries ??= this.#make());
  }

  /** Tells `onRecord` that an item, by its id, was visible for so many ms where this ranking put it. Never throws. */
  exposed(id: Id, visibleMs: number): void {
    const text = toText(id);
    if (text !== null && visibleMs >= 0) this.#exposed(text, visibleMs);
  }
}

/** Who waits for a list's next ranking. */
interface Asker<C> {
  resolve: (ranking: AsyncRanking<C>) => void;
  frozen: FrozenRows;
  now: number;
}

/** One server response whose ranking is made in a worker. The items and the order on the page stay here. */
export class AsyncList<C = unknown> {
  /** The request's `list_id`. */
  readonly listId: string | null;
  /** The request's `now`. */
  readonly preparedAt: number;
  readonly #session: AsyncSession<C>;
  readonly #shared: Shared<C>;
  readonly #line: Line;
  readonly #request: Prepared<C>;
  readonly #subscribers = new Set<{ listener: () => void }>();
  // What is wrong with the list for good, and with its facts until others come.
  #broken: RankletError | null;
  #unreadable: RankletError | null = null;
  // The order on the page, and whether the worker believes the same.
  #order: Uint32Array<ArrayBuffer>;
  #agreed = true;
  #suppressed: Uint8Array | null = null;
  #asked = 0;
  #askers: Asker<C>[] = [];
  #told = false;

  /** @internal */
  constructor(
    session: AsyncSession<C>,
    shared: Shared<C>,
    line: Line,
    request: Prepared<C>,
    /** @internal */ readonly number: number,
  ) {
    this.#session = session;
    this.#shared = shared;
    this.#line = line;
    this.#request = request;
    this.#broken = request.broken;
    this.#order = Uint32Array.from(request.items, (_, row) => row);
    this.listId = request.listId;
    this.preparedAt = request.now;
    const { part, facts, names, decisionId, seed, now } = request;
    if (!part || this.#broken) return;
    const candidates = pack(part.rows);
    // They have crossed: what is kept here is the caller's own objects.
    part.rows.features = [];
    const sent = { candidates, facts: packFacts(facts), surface: names.surface, list_id: this.listId, decision_id: decisionId, seed, now };
    line.tell({ op: "prepare", session: session.number, list: number, request: sent });
  }

  /** The items' ids as text, in the order last given; the server's before the first. */
  get ids(): string[] {
    return Array.from(this.#order, (row) => this.#request.names.ids[row] ?? "");
  }

  /**
   * The order for now. Never rejects: without an answer in time it is the server's order, `worker_timeout`. Of several calls
   * that wait at once the last one's answer is everybody's, for the earlier ones' are stale.
   */
  rerank(options?: RerankOptions): Promise<AsyncRanking<C>> {
    return new Promise((resolve) => {
      let frozen = NONE_FROZEN;
      let now = NaN;
      try {
        const time = options?.now ?? this.#shared.clock();
        if (typeof time === "number") now = time;
        frozen = readFrozen(options?.frozen ?? this.#request.frozen, this.#request.names.rowOf);
        if (!Number.isFinite(now)) throw new RankletError("request_invalid", "now is not a number of ms");
        const wrong = this.#broken ?? this.#unreadable ?? this.#line.silence;
        if (wrong) throw wrong;
        const ask = this.#ask(frozen, now, options ?? {});
        this.#askers.push({ resolve, frozen, now });
        const { decision } = ask;
        this.#line.ask<PackedRanking>({ op: "rerank", list: this.number, ask }).then(
          (packed) => decision === this.#asked && this.#answered(packed, decision),
          (error: RankletError) => decision === this.#asked && this.#settle(error),
        );
      } catch (thrown) {
        this.#askers.push({ resolve, frozen, now });
        this.#settle(this.#broken ?? failure(thrown, "request_invalid"));
      }
    });
  }

  /** A further page of the same response: see `List.append`. */
  async append(candidates: readonly C[]): Promise<void> {
    const { names, items } = this.#request;
    const { items: more, rows, part, error } = readPage(this.#shared, names, candidates);
    if (rows && names.ids.length === items.length) nameRows(names, rows);
    for (const item of more) items.push(item);
    const order = this.#order;
    this.#order = Uint32Array.from({ length: items.length }, (_, place) => order[place] ?? place);
    if (!this.#broken) {
      this.#broken = error;
      if (part && more.length > 0) {
        this.#line.tell({ op: "append", list: this.number, page: pack(part.rows) });
        part.rows.features = [];
      }
    }
    this.due();
  }

  /** New facts of the request, in place of those before. Facts that cannot be read make it server order until others come. */
  async update(facts: Facts): Promise<void> {
    this.#unreadable = null;
    try {
      this.#line.tell({ op: "update", list: this.number, facts: packFacts(keepFacts(facts)) });
    } catch (thrown) {
      this.#unreadable = failure(thrown, "request_invalid");
    }
    this.due();
  }

  /** Has `listener` called when a re-rank would tell something new: see `List.subscribe`. */
  subscribe(listener: () => void): () => void {
    if (this.#broken?.code === "disposed") return () => undefined;
    const subscription = { listener };
    if (this.#subscribers.size === 0) {
      this.#line.due.set(this.number, () => this.due());
      this.#line.tell({ op: "watch", list: this.number });
    }
    this.#subscribers.add(subscription);
    return () => {
      if (!this.#subscribers.delete(subscription) || this.#subscribers.size > 0) return;
      this.#line.due.delete(this.number);
      this.#line.tell({ op: "unwatch", list: this.number });
    };
  }

  /** Frees the list; afterwards server order, `disposed`. */
  dispose(): void {
    if (this.#broken?.code === "disposed") return;
    this.#subscribers.clear();
    this.#line.due.delete(this.number);
    this.#line.tell({ op: "drop", list: this.number });
    this.end(new RankletError("disposed", "the list was disposed"));
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal From now on server order, for this reason. */
  end(why: RankletError): void {
    if (this.#broken?.code === "disposed") return;
    this.#broken = why;
    if (this.#askers.length > 0) this.#settle(why);
    this.due();
  }

  /** @internal */
  due(): void {
    if (this.#told || this.#subscribers.size === 0) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      for (const subscription of [...this.#subscribers]) {
        if (!this.#subscribers.has(subscription)) continue;
        try {
          subscription.listener();
        } catch {
          // A listener's own failure must not keep the others from being told.
        }
      }
    });
  }

  #ask(frozen: FrozenRows, now: number, { rows, seed, decision_id }: RerankOptions): RerankAsk {
    const { ids } = this.#request.names;
    const count = typeof rows === "number" ? rows : null;
    const given = typeof seed === "number" || typeof seed === "string" || typeof seed === "bigint" ? seed : null;
    // An order that is not the page's yet must not decide what is frozen.
    const agreed = this.#agreed && this.#askers.length === 0;
    this.#agreed = false;
    return {
      frozen: frozen.count < 0 ? Array.from(frozen.rows, (row) => ids[row]!) : frozen.count,
      now,
      rows: count,
      seed: given,
      decision_id: toText(decision_id),
      decision: ++this.#asked,
      shown: agreed ? null : this.#order.slice(),
    };
  }

  #answered(packed: PackedRanking, decision: number): void {
    this.#order = packed.order.slice();
    this.#suppressed = new Uint8Array(packed.order.length);
    packed.order.forEach((row, place) => (this.#suppressed![row] = packed.suppressed[place]!));
    this.#agreed = true;
    const { items, names } = this.#request;
    const exposed = (id: string, visibleMs: number) =>
      this.#line.tell({ op: "exposed", list: this.number, decision, id, visibleMs });
    this.#give(new AsyncRanking(packed, items, () => unpackEntries(packed, items, names.ids, names.keys), exposed));
  }

  /** The server's order for everybody who waits; what the worker may still say is too late. */
  #settle({ code, message }: RankletError): void {
    const { frozen, now } = this.#askers.at(-1)!;
    this.#asked += 1;
    this.#agreed = false;
    const { items, names } = this.#request;
    const flags = frozenFlags(this.#order, frozen.count, frozen.rows);
    const order = serverOrder(this.#order, flags) as Uint32Array<ArrayBuffer>;
    const marks = Uint8Array.from(order, (row) => this.#mark(row, now));
    const constraints: PackedRanking["constraints"] = [];
    order.forEach((row, place) => {
      const held = [...(flags[row] ? ["frozen"] : []), ...(marks[place] ? ["suppressed"] : [])];
      if (held.length > 0) constraints.push([place, held, []]);
    });
    this.#order = order;
    const packed: PackedRanking = {
      source: "server", reason: code, detail: message, rowsRun: 0, degraded: false, order, suppressed: marks, heads: [],
      numbers: new Float64Array(3 * order.length).fill(NaN), constraints,
    };
    this.#give(new AsyncRanking(packed, items, () => unpackEntries(packed, items, names.ids, names.keys), () => undefined));
  }

  #mark(row: number, now: number): number {
    const key = this.#request.names.keys[row];
    return (key === undefined ? undefined : this.#session.mark(key, now)) ?? this.#suppressed?.[row] ?? MARK_NAMES.indexOf(null);
  }

  #give(ranking: AsyncRanking<C>): void {
    const askers = this.#askers;
    this.#askers = [];
    for (const { resolve } of askers) resolve(ranking);
  }
}

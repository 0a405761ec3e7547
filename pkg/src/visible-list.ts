import type { List } from "./list.js";
import type { Ranking } from "./ranking.js";
import type { Reranker } from "./reranker.js";
import type { Session } from "./session.js";
import type { Frozen, LocalEvent, Observed, RerankRequest, SessionOptions } from "./types.js";
import { Visible } from "./visible.js";

/** A session; or a reranker, of which a session of the list's own is made. */
export type Source<C> = Session<C> | Reranker<C>;

export interface VisibleListOptions {
  /** Of the list's own session, where the source is a reranker. */
  session?: SessionOptions | undefined;
  /** In place of what was seen: how many leading items, or which, stay at a re-rank. */
  frozen?: Frozen | (() => Frozen | null) | null | undefined;
  /** Whether an item that was half visible for a second is observed as an `impression`. */
  impressions?: boolean | undefined;
}

/** What there is to show. Another object when it is another, and only then. */
export interface State<C> {
  /** The response, with as many candidates as the list has. */
  request: RerankRequest<C> | null;
  /** Null until the list was ranked. */
  ranking: Ranking<C> | null;
  list: List<C> | null;
  session: Session<C> | null;
}

function nothing<C>(): State<C> {
  return { request: null, ranking: null, list: null, session: null };
}

/** One list on a page: ranked again whenever it is due, below what was seen of it. */
export class VisibleList<C> {
  readonly visible: Visible;
  options: VisibleListOptions = {};
  #state: State<C> = nothing();
  #source: Source<C> | null = null;
  #facts: RerankRequest<C>["facts"];
  #own: Session<C> | null = null;
  // What the own session knew when it was let go, for when the list is shown again.
  #snapshot: string | null = null;
  #stop: (() => void) | null = null;
  #due = false;
  #turn: ReturnType<typeof setTimeout> | undefined;
  #holders = 0;
  readonly #listeners = new Set<() => void>();

  constructor() {
    this.visible = new Visible({ impression: (id) => this.#impress(id), settled: () => this.#due && this.#later() });
  }

  get state(): State<C> {
    return this.#state;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Shows a response: the same with more candidates is a further page, with other facts an update, any other is a list
   * of its own. `painted`: it is on screen already in the server's order, so what is seen there must be known first.
   */
  show(source: Source<C>, request: RerankRequest<C>, painted = false): void {
    const { request: before, list } = this.#state;
    if (list && before && source === this.#source && follows(before, request)) {
      if (!alike(this.#facts, request.facts)) list.update((this.#facts = request.facts) ?? {});
      const more = candidatesOf(request).slice(candidatesOf(before).length);
      if (more.length === 0) return;
      list.append(more);
      this.#state = { ...this.#state, request };
      // What comes now was never painted, so nothing need be waited for.
      this.#rank();
      return;
    }
    this.#open(source, request);
    if (painted) {
      this.#due = true;
      this.#later();
    } else {
      this.#rank();
    }
  }

  /** Ranks the whole list anew, whatever was seen of it: for a person who asked for it. */
  refresh(): void {
    this.visible.reset();
    this.#rank(0);
  }

  observe(event: LocalEvent): Observed {
    return this.#state.session?.observe(event) ?? { accepted: false, due: false, reason: this.#source ? "disposed" : "loading" };
  }

  /**
   * Keeps the list until the function that comes back is called; without a holder it is let go a moment later, so that
   * one that is taken away and put back at once, as by React's strict mode, is the same list.
   */
  hold(): () => void {
    let held = true;
    this.#holders += 1;
    return () => {
      if (!held) return;
      held = false;
      this.#holders -= 1;
      queueMicrotask(() => this.#holders === 0 && this.dispose());
    };
  }

  /** Frees the list, and its session where it is the list's own. */
  dispose(): void {
    this.#close();
    this.#source = null;
    this.visible.dispose();
  }

  #open(source: Source<C>, request: RerankRequest<C>): void {
    const kept = this.#own && source === this.#source ? this.#own : null;
    if (!kept) this.#close();
    else this.#drop();
    this.visible.reset();
    this.#source = source;
    let session: Session<C>;
    if ("prepare" in source) {
      session = source;
    } else {
      const { session: options } = this.options;
      session = this.#own = kept ?? source.session({ ...options, snapshot: this.#snapshot ?? options?.snapshot ?? null });
    }
    const list = session.prepare(request);
    this.#facts = request.facts;
    this.#stop = list.subscribe(() => {
      this.#due = true;
      this.#later();
    });
    this.#state = { request, ranking: null, list, session };
  }

  /** Lets go of the list, and of a session of its own. */
  #close(): void {
    this.#drop();
    const own = this.#own;
    this.#own = null;
    if (!own) return;
    this.#snapshot = own.snapshot();
    own.dispose();
  }

  #drop(): void {
    clearTimeout(this.#turn);
    this.#turn = undefined;
    this.#due = false;
    this.#stop?.();
    this.#stop = null;
    this.#state.list?.dispose();
    this.#state = nothing();
  }

  /** In a task of its own: never while somebody renders, and not in the one that a person waits for. */
  #later(): void {
    this.#turn ??= setTimeout(() => {
      this.#turn = undefined;
      // Else the observer's first word brings it here again.
      if (this.#due && this.visible.settled) this.#rank();
    }, 0);
  }

  #rank(frozen = this.#frozen()): void {
    const { list } = this.#state;
    if (!list) return;
    this.#due = false;
    this.#state = { ...this.#state, ranking: list.rerank({ frozen }) };
    for (const listener of [...this.#listeners]) listener();
  }

  #frozen(): Frozen | null {
    const { frozen } = this.options;
    if (frozen !== undefined && frozen !== null) return typeof frozen === "function" ? frozen() : frozen;
    const { request, list } = this.#state;
    const seen = list ? this.visible.frozen(list.ids) : 0;
    const asked = request?.frozen;
    // None: as the request says.
    return seen > (typeof asked === "number" ? asked : 0) ? seen : null;
  }

  #impress(candidate: string): void {
    if (!this.options.impressions) return;
    const { session, request } = this.#state;
    const list = request?.list_id ?? undefined;
    const surface = request?.surface ?? undefined;
    session?.observe({ type: "impression", candidate, ...(list !== undefined && { list }), ...(surface !== undefined && { surface }) });
  }
}

/** Whether `next` is the same response as `before`, with candidates added at its end or without. */
export function follows<C>(before: RerankRequest<C>, next: RerankRequest<C>): boolean {
  if (before === next) return true;
  if ((before.surface ?? null) !== (next.surface ?? null) || (before.list_id ?? null) !== (next.list_id ?? null)) return false;
  const [had, has] = [candidatesOf(before), candidatesOf(next)];
  return had === has || (had.length > 0 && had.length <= has.length && had.every((item, at) => alike(item, has[at])));
}

export function candidatesOf<C>(request: RerankRequest<C>): readonly C[] {
  return Array.isArray(request.candidates) ? request.candidates : [];
}

/** Deep enough for candidates with their features and for facts in their groups: a page that makes them anew means no others. */
function alike(a: unknown, b: unknown, depth = 3): boolean {
  if (Object.is(a, b)) return true;
  if (depth === 0 || typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length || Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  return names.every((name) => alike((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name], depth - 1));
}

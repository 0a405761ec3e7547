import { idOf, marked, object, type Marked } from "./element-candidates.js";
import { reorder } from "./element-order.js";
import { borrow } from "./element-sessions.js";
import type { Ranking } from "./ranking.js";
import type { LocalEvent, Observed, RerankRequest } from "./types.js";
import { VisibleList, type Source } from "./visible-list.js";

// A server has no elements; there the import does nothing.
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/** What `beforerank` and `rank` tell. */
export interface RankDetail {
  ranking: Ranking;
  /** The children that were moved; empty before they are. */
  moved: readonly Element[];
}

/**
 * `<ranked-list>`: puts its children that have a `data-id` into the order for now. Until it is defined, and whenever there is
 * no model, they stand as the server sent them. What was half visible, holds the focus or a selection stays where it is,
 * and all above it.
 *
 * Attributes: `bundle`, `session` (its key; elements with the same two share one), `surface`, `list-id`, `facts` (JSON),
 * `impressions`. Properties take the place of attributes: `source`, `request`. A click on what has `data-observe="dismiss"`
 * observes that event of its child, with its `data-reason`. Children are told of marks by `data-suppressed`.
 */
export class RankedList extends Base {
  static readonly observedAttributes = ["bundle", "session", "surface", "list-id", "facts", "impressions"];
  readonly #shown = new VisibleList<unknown>();
  #source: Source<unknown> | null = null;
  #request: Partial<RerankRequest<unknown>> = {};
  #borrowed: { of: string; session: Source<unknown>; giveBack: () => void } | undefined;
  /** The candidates of this list in the server's order: as the children came. */
  readonly #known = new Map<string, Marked>();
  #candidates: readonly Marked[] = [];
  #children = new Map<string, Element>();
  #watcher: MutationObserver | undefined;
  #release: (() => void) | undefined;
  #due = false;
  readonly #clicked = (event: Event) => this.#click(event);

  constructor() {
    super();
    this.#shown.subscribe(() => this.#ranked());
  }

  /** A session, or a reranker, of which a session of this list's own is made. */
  get source(): Source<unknown> | null {
    return this.#source;
  }

  set source(source: Source<unknown> | null) {
    this.#source = source;
    this.#later();
  }

  /** What the request has besides what attributes say. Candidates, if given, are found among the children by their ids. */
  get request(): Partial<RerankRequest<unknown>> {
    return this.#request;
  }

  set request(request: Partial<RerankRequest<unknown>> | null) {
    this.#request = request ?? {};
    this.#later();
  }

  /** The ranking that the children stand in; null before the first. */
  get ranking(): Ranking | null {
    return this.#shown.state.ranking;
  }

  /** The session's `observe`. */
  observe(event: LocalEvent): Observed {
    return this.#shown.observe(event);
  }

  /** Ranks the whole list anew, and what is on screen too: for a person who asks for it. */
  refresh(): void {
    this.#shown.refresh();
  }

  /** Puts the children into the ranking's order: for a page that prevented it at `beforerank`, to animate it say. */
  apply(): void {
    const moved = reorder(this, this.#desired());
    // What was done here is no news.
    this.#watcher?.takeRecords();
    for (const { id, suppressed } of this.ranking?.entries ?? []) {
      const child = this.#children.get(id);
      if (suppressed) child?.setAttribute("data-suppressed", suppressed);
      else child?.removeAttribute("data-suppressed");
    }
    this.#tell("rank", moved);
  }

  /** @internal */
  connectedCallback(): void {
    this.#release ??= this.#shown.hold();
    this.#watcher ??= new MutationObserver(() => this.#update());
    this.#watcher.observe(this, { childList: true });
    this.addEventListener("click", this.#clicked);
    this.#later();
  }

  /** @internal Moved as it is: nothing changes. */
  connectedMoveCallback(): void {}

  /** @internal */
  disconnectedCallback(): void {
    this.#watcher?.disconnect();
    this.removeEventListener("click", this.#clicked);
    // One that is put elsewhere at once stays what it is.
    queueMicrotask(() => !this.isConnected && this.#end());
  }

  /** @internal */
  attributeChangedCallback(): void {
    this.#later();
  }

  #end(): void {
    this.#release?.();
    this.#release = undefined;
    this.#borrowed?.giveBack();
    this.#borrowed = undefined;
    // Put back, it begins with the order that it has then.
    this.#known.clear();
    this.#candidates = [];
    this.#children = new Map();
  }

  /** Once for all that is set in one go. */
  #later(): void {
    if (this.#due || !this.isConnected) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      this.#update();
    });
  }

  #update(): void {
    if (!this.isConnected) return;
    this.#read();
    const source = this.#source ?? this.#borrow();
    if (!source || this.#candidates.length === 0) return;
    this.#shown.options = { impressions: this.hasAttribute("impressions"), frozen: () => this.#frozen() };
    const { candidates = this.#candidates, surface = this.getAttribute("surface"), list_id = this.getAttribute("list-id") } = this.#request;
    const facts = this.#request.facts ?? object(this.getAttribute("facts") ?? undefined);
    this.#shown.show(source, { ...this.#request, candidates, surface, list_id, facts }, true);
  }

  /** Takes in the children as they are: new ones are a further page, and where all are new it is another list. */
  #read(): void {
    const { visible } = this.#shown;
    const children = new Map<string, Element>();
    for (const child of this.children) {
      const id = idOf(child);
      if (id !== null && !children.has(id)) children.set(id, child);
    }
    for (const id of this.#children.keys()) if (!children.has(id)) visible.unobserve(id);
    if (![...children.keys()].some((id) => this.#known.has(id))) {
      this.#known.clear();
      this.#candidates = [];
    }
    this.#children = children;
    const more: Marked[] = [];
    for (const [id, child] of children) {
      visible.observe(id, child);
      if (this.#known.has(id)) continue;
      const candidate = marked(child);
      this.#known.set(id, candidate);
      more.push(candidate);
    }
    if (more.length > 0) this.#candidates = [...this.#candidates, ...more];
  }

  /** The session that the attributes name. */
  #borrow(): Source<unknown> | null {
    const bundle = this.getAttribute("bundle");
    const key = this.getAttribute("session") ?? "";
    const of = JSON.stringify([bundle, key]);
    if (this.#borrowed?.of !== of) {
      this.#borrowed?.giveBack();
      this.#borrowed = bundle === null ? undefined : { of, ...borrow(absolute(bundle), key) };
    }
    return this.#borrowed?.session ?? null;
  }

  #frozen(): number | null {
    const { list } = this.#shown.state;
    if (!list) return null;
    const { ids } = list;
    let count = ids.length;
    const seen = this.#shown.visible.frozen(ids);
    while (count > seen && !this.#isHeld(this.#children.get(ids[count - 1]!))) count--;
    return count || null;
  }

  /** Whether a child holds the focus or a part of the selection. */
  #isHeld(child: Element | undefined): boolean {
    if (!child) return false;
    const root = child.getRootNode() as Document | ShadowRoot;
    const selection = document.getSelection();
    return child.contains(root.activeElement) || (selection !== null && !selection.isCollapsed && selection.containsNode(child, true));
  }

  #desired(): Element[] {
    const ids = this.#shown.state.list?.ids ?? [];
    return ids.flatMap((id) => this.#children.get(id) ?? []);
  }

  #ranked(): void {
    if (!this.ranking) return;
    // What came meanwhile is told of in its own time.
    if ((this.#watcher?.takeRecords().length ?? 0) > 0) this.#later();
    const desired = this.#desired();
    const ours = new Set(desired);
    const standing = [...this.children].filter((child) => ours.has(child));
    if (desired.every((child, at) => child === standing[at]) || this.#tell("beforerank", [])) this.apply();
  }

  #tell(type: "beforerank" | "rank", moved: readonly Element[]): boolean {
    const detail: RankDetail = { ranking: this.ranking!, moved };
    return this.dispatchEvent(new CustomEvent(type, { bubbles: true, cancelable: type === "beforerank", detail }));
  }

  #click(event: Event): void {
    const from = (event.target as Element | null)?.closest("[data-observe]");
    const child = from && [...this.children].find((one) => one.contains(from));
    const candidate = child && idOf(child);
    if (!from || candidate === null || candidate === undefined) return;
    const [reason, surface] = [from.getAttribute("data-reason"), this.#shown.state.request?.surface];
    const observed: LocalEvent = { type: from.getAttribute("data-observe")!, candidate };
    this.observe({ ...observed, ...(reason !== null && { reason }), ...(surface && { surface }) });
  }
}

function absolute(url: string): string {
  try {
    return new URL(url, document.baseURI).href;
  } catch {
    return url;
  }
}

// The one side effect; twice, where two versions of the package meet in a page, the first stands.
if (globalThis.customElements && !customElements.get("ranked-list")) customElements.define("ranked-list", RankedList);

declare global {
  interface HTMLElementTagNameMap {
    "ranked-list": RankedList;
  }
  interface HTMLElementEventMap {
    beforerank: CustomEvent<RankDetail>;
    rank: CustomEvent<RankDetail>;
  }
}

import { useEffect, useInsertionEffect, useLayoutEffect, useState, useSyncExternalStore } from "react";
import type { List } from "./list.js";
import type { Ranking } from "./ranking.js";
import { Keeper } from "./react-reranker.js";
import type { Reranker } from "./reranker.js";
import type { Session } from "./session.js";
import type { Id, LocalEvent, Observed, RerankRequest, RerankerOptions } from "./types.js";
import { VisibleList, candidatesOf, follows, type Source, type State, type VisibleListOptions } from "./visible-list.js";

export type RankingOptions = VisibleListOptions;
export type RankingSource<C> = Source<C>;

/** What `useRanking` gives. The functions are the same ones for a component's life. */
export interface UsedRanking<C> {
  /** The caller's own objects in the order for now; on a server and while React hydrates, exactly the server's. */
  items: readonly C[];
  /** Null on a server, while React hydrates, and until what is on screen is known after that. */
  ranking: Ranking<C> | null;
  /** For `append`, `update` and the rest of a list; null as long as there is none. */
  list: List<C> | null;
  /** The source, or the session that was made of it. */
  session: Session<C> | null;
  /** For an item's element, `ref={visible(item.id)}`: what was seen of the list stays where it stands. */
  visible: (id: Id) => (element: Element | null) => void;
  /** The session's `observe`. */
  observe: (event: LocalEvent) => Observed;
  /** Ranks all of the list anew, and what is on screen too: for a person who asks for it. */
  refresh: () => void;
}

// React 18 complains of layout effects on a server, where neither kind runs.
const useBeforePaint = typeof document === "undefined" ? useEffect : useLayoutEffect;

const never = () => () => undefined;
const yes = () => true;
const no = () => false;

/** `useReranker` for one platform. */
export function bindReact(create: <C>(options: RerankerOptions<C>) => Reranker<C>) {
  /**
   * One reranker for the component's life; it loads once the component is on the page, and is freed with it. The options
   * are those of the first render, but for `onStatus` and `onRecord`: give the component another `key` for others.
   */
  return function useReranker<C = unknown>(options: RerankerOptions<C>): Reranker<C> {
    const [keeper] = useState(() => new Keeper(create, options));
    const [, again] = useState(0);
    useInsertionEffect(() => keeper.update(options));
    useBeforePaint(() => {
      const { fresh, release } = keeper.hold();
      // Shown again after it was hidden: the components below are given the new one.
      if (fresh) again((times) => times + 1);
      return release;
    }, [keeper]);
    return keeper.reranker;
  };
}

/**
 * A response in the order for now. It is ranked again whenever that is due, in a task of its own, and what was half visible
 * at some time keeps its place. A request with more candidates at its end is a further page; with other facts, an
 * update; any other is a list of its own. `source`: a session, or a reranker, of which it makes a session of its own.
 */
export function useRanking<C>(source: RankingSource<C>, request: RerankRequest<C>, options?: RankingOptions): UsedRanking<C> {
  const [shown] = useState(() => new Shown<C>());
  const hydrating = useSyncExternalStore(never, no, yes);
  const [painted] = useState(hydrating);
  const state = useSyncExternalStore(shown.subscribe, shown.state, shown.state);
  useBeforePaint(() => {
    shown.list.options = options ?? {};
    shown.list.show(source, request, painted && shown.first());
  });
  useBeforePaint(() => shown.list.hold(), [shown]);
  const { list, session } = state;
  const items = itemsOf(state, request);
  const ranking = items === state.ranking?.items ? state.ranking : null;
  return { items, ranking, list, session, visible: shown.visible, observe: shown.observe, refresh: shown.refresh };
}

/** A visible list as React asks for it: functions that stay the same. */
class Shown<C> {
  readonly list = new VisibleList<C>();
  readonly subscribe = (listener: () => void) => this.list.subscribe(listener);
  readonly state = () => this.list.state;
  readonly visible = (id: Id) => this.list.visible.ref(id);
  readonly observe = (event: LocalEvent) => this.list.observe(event);
  readonly refresh = () => this.list.refresh();
  #shown = false;

  /** Whether this is the first time that it is asked. */
  first(): boolean {
    const before = this.#shown;
    this.#shown = true;
    return !before;
  }
}

/** The items to render: the ranking's as long as it is of this response, and what is not in it yet below. */
function itemsOf<C>({ ranking, request: ranked }: State<C>, request: RerankRequest<C>): readonly C[] {
  const candidates = candidatesOf(request);
  if (!ranking || !ranked || !follows(ranked, request)) return candidates;
  const more = candidates.slice(candidatesOf(ranked).length);
  return more.length === 0 ? ranking.items : [...ranking.items, ...more];
}

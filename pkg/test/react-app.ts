// The component that the tests show: in Node, where it is rendered to text, and in a page.
import { createElement, useEffect, type ReactElement, type ReactNode } from "react";
import type { LocalEvent, Ranking, Reranker, Session, Status } from "ranklet";
import { useRanking, useReranker } from "ranklet/react";
import type { Candidate, Request } from "./fixtures.js";

export interface Props {
  bundle: string;
  request: Request;
  /** How many candidates the page has so far. */
  count?: number;
  impressions?: boolean;
  loadTimeoutMs?: number;
  /** Whether elements are made known. */
  watched?: boolean;
  probe?: Probe;
}

/** What happened, as the tests ask about it. */
export interface Probe {
  orders: string[][];
  rankings: (Ranking<Candidate> | null)[];
  rerankers: Set<Reranker<Candidate>>;
  sessions: Set<Session<Candidate>>;
  statuses: Status[];
  observe?: (event: LocalEvent) => unknown;
  refresh?: () => void;
}

export function newProbe(): Probe {
  return { orders: [], rankings: [], rerankers: new Set(), sessions: new Set(), statuses: [] };
}

/** An item is as high as its id says, so that an exchange of any two moves what follows. */
function height(id: string): number {
  return 90 + 17 * (Number(id.replace(/\D/g, "")) % 7);
}

function Panel({ reranker, request, count, impressions, watched, probe }: Props & { reranker: Reranker<Candidate> }): ReactElement {
  const candidates = request.candidates.slice(0, count);
  const { items, ranking, session, visible, observe, refresh } = useRanking(
    reranker,
    { surface: "ads_manager", facts: request.facts ?? null, candidates },
    { impressions: impressions ?? false },
  );
  useEffect(() => {
    if (!probe) return;
    probe.orders.push(items.map(({ id }) => id));
    probe.rankings.push(ranking);
    if (session) probe.sessions.add(session);
    Object.assign(probe, { observe, refresh });
  });
  const list: ReactNode[] = items.map(({ id, type }) =>
    createElement("li", { key: id, id, ref: watched === false ? undefined : visible(id), style: { height: height(id) } }, `${id} ${type}`),
  );
  return createElement("ul", { style: { margin: 0, padding: 0, listStyle: "none" } }, list);
}

export function App(props: Props): ReactElement {
  const { bundle, loadTimeoutMs, probe } = props;
  const reranker = useReranker<Candidate>({ bundle, ...(loadTimeoutMs && { loadTimeoutMs }), onStatus: (status) => probe?.statuses.push(status) });
  useEffect(() => {
    probe?.rerankers.add(reranker);
  });
  return createElement(Panel, { ...props, reranker });
}

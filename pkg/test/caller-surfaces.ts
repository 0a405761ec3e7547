// A caller of the entries for pages: compiled by surfaces.test.ts against nothing but a page's library.
import { useRanking, useReranker, type UsedRanking } from "ranklet/react";
import { RankedList, type RankDetail } from "ranklet/element";
import { createAsyncReranker, type AsyncList, type AsyncRanking, type AsyncReranker } from "ranklet/worker";
import { serve } from "ranklet/worker-host";

interface Rec {
  id: string;
  title: string;
}

export function Component(recs: Rec[]): string[] {
  const reranker = useReranker<Rec>({ bundle: "/x.ranklet" });
  const used: UsedRanking<Rec> = useRanking(reranker, { candidates: recs }, { impressions: true, frozen: 3 });
  used.observe({ type: "open", candidate: "a" });
  return used.items.map(({ title }) => title);
}

export async function page(recs: Rec[]): Promise<Rec[]> {
  const reranker: AsyncReranker<Rec> = createAsyncReranker<Rec>({ bundle: "/x.ranklet", worker: () => new Worker("/own.js") });
  using list: AsyncList<Rec> = reranker.session().prepare({ candidates: recs });
  const ranking: AsyncRanking<Rec> = await list.rerank();
  return ranking.items;
}

export function shared(port: MessagePort): void {
  serve(port);
}

export function listen(): void {
  const list: RankedList = document.createElement("ranked-list");
  list.addEventListener("rank", ({ detail }: CustomEvent<RankDetail>) => detail.moved.length);
}

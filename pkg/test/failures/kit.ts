// What a cell of the failure table works with, wherever it runs: Node, a page in Chromium, workerd. Nothing here is of one place.
import type { createReranker, List, Ranking, Reranker, RerankerOptions, Session } from "ranklet";
import type { Candidate, Request } from "../fixtures.js";

export type Runtime = "node" | "chromium" | "workerd";

/** One place's hands. */
export interface Kit {
  createReranker: typeof createReranker;
  asked: Request;
  /** The runtime as it is, or spoiled in the way of that name; a module where the place compiles nothing itself. */
  wasm(name: string): Promise<Uint8Array<ArrayBuffer> | WebAssembly.Module>;
  bundle(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** A path of the server that answers as the path says. */
  url(path: string): string;
  /** Lets the answers go that the server holds back at `/late/...`. */
  release(): Promise<void>;
}

export type Options = Partial<RerankerOptions<Candidate>>;

/** What a cell leaves to be looked at. */
export interface Provoked {
  ranking: Ranking<Candidate>;
  /** What stood on the page before. */
  shown: readonly Candidate[];
  frozen: readonly Candidate[];
  page: Page;
}

/** A reranker with one list on a page: two items hidden, the request's objects frozen to the last of their parts. */
export interface Page {
  reranker: Reranker<Candidate>;
  session: Session<Candidate>;
  list: List<Candidate>;
  asked: Request;
  text: string;
}

export const tick = () => new Promise((done) => setTimeout(done, 0));

/** The runtime `late-rerank` traps at a `now` of so many ms after the request's. */
export const LATE = 1234.5;

/** A kit whose files come from the test's server. */
export function remote(create: typeof createReranker, base: string, asked: Request, modules: Record<string, WebAssembly.Module> = {}): Kit {
  const bytes = async (path: string) => {
    const response = await fetch(base + path);
    if (!response.ok) throw new Error(`the test's server has no ${path}`);
    return new Uint8Array(await response.arrayBuffer());
  };
  return {
    createReranker: create,
    asked,
    wasm: async (name) => modules[name] ?? bytes(`/wasm/${name}`),
    bundle: (name) => bytes(`/bundle/${name}`),
    url: (path) => base + path,
    release: async () => void (await fetch(`${base}/release`)),
  };
}

const DISMISSED = 1;
const SNOOZED = 4;

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) Object.values(value).forEach(deepFreeze);
  return Object.freeze(value);
}

export function request({ asked }: Kit, count = asked.candidates.length): Request {
  return deepFreeze({ ...structuredClone(asked), candidates: structuredClone(asked.candidates).slice(0, count) });
}

export function mount(kit: Kit, reranker: Reranker<Candidate>, asked = request(kit), options: object = {}): Page {
  const session = reranker.session({ key: "somebody" });
  const list = session.prepare({ ...asked, ...options });
  session.observe({ type: "dismiss", key: asked.candidates[DISMISSED]!.key, time: asked.now });
  session.observe({ type: "snooze", key: asked.candidates[SNOOZED]!.key, time: asked.now });
  return { reranker, session, list, asked, text: JSON.stringify(asked) };
}

export async function made(kit: Kit, options: Options): Promise<Reranker<Candidate>> {
  const needed = options.delivery ? {} : { bundle: await kit.bundle("ads-recs") };
  return kit.createReranker<Candidate>({ ...needed, wasm: (await kit.wasm("whole")) as never, clock: () => kit.asked.now, ...options });
}

/** A load that fails: the first answer, and what the status says. */
export async function failing(kit: Kit, options: Options): Promise<Provoked> {
  const reranker = await made(kit, options);
  const early = mount(kit, reranker);
  await reranker.ready;
  // Prepared before the failure and after it: both are to be answered.
  const first = rank(early);
  const found = problems(first, reranker.status.reason!);
  if (found.length > 0) throw new Error(`the list prepared while loading: ${found.join("; ")}`);
  const page = mount(kit, reranker);
  return rank(page);
}

/** A page that shows the model's order. */
export async function healthy(kit: Kit, options: Options = {}, asked?: Request, prepared?: object): Promise<Page & { shown: readonly Candidate[] }> {
  const reranker = await made(kit, options);
  const { reason, detail } = await reranker.ready;
  if (reason !== null) throw new Error(`not healthy: ${reason}, ${detail}`);
  const page = mount(kit, reranker, asked, prepared);
  return { ...page, shown: model(page).items };
}

/** The model's ranking; throws where it is another. */
export function model({ list, asked }: Page, options: object = {}): Ranking<Candidate> {
  const ranking = list.rerank({ now: asked.now, ...options });
  if (ranking.source !== "model") throw new Error(`not the model's: ${ranking.reason}, ${ranking.detail}`);
  return ranking;
}

/** Re-ranks with the second and the fourth of what is shown frozen. */
export function rank(page: Page, shown: readonly Candidate[] = page.asked.candidates, options: object = {}): Provoked {
  const frozen = [shown[1]!, shown[3]!].filter(Boolean);
  const ranking = page.list.rerank({ now: page.asked.now, frozen: frozen.map(({ id }) => id), ...options });
  return { ranking, shown, frozen, page };
}

/** What is not as the design has it: order, frozen items, marks, the caller's objects, source and reason. */
export function problems({ ranking, shown, frozen, page }: Provoked, reason: string | null): string[] {
  const found: string[] = [];
  const is = (what: string, got: unknown, wanted: unknown) => {
    if (got !== wanted) found.push(`${what}: ${String(got)} instead of ${String(wanted)}`);
  };
  const { asked, text } = page;
  is("reason", ranking.reason, reason);
  is("source", ranking.source, reason === null ? "model" : "server");
  is("items", ranking.items.length, asked.candidates.length);
  const own = new Set(ranking.items);
  is("different items", own.size, asked.candidates.length);
  is("the caller's own objects", asked.candidates.every((item) => own.has(item)), true);
  is("the request's text", JSON.stringify(asked), text);
  for (const item of frozen) is(`place of frozen ${item.id}`, ranking.items.indexOf(item), shown.indexOf(item));
  if (reason !== null) {
    const free = (items: readonly Candidate[]) => items.filter((item) => !frozen.includes(item)).map(({ id }) => id).join();
    is("order of the others", free(ranking.items), free(asked.candidates));
  }
  const marks = new Map([[asked.candidates[DISMISSED], "dismissed"], [asked.candidates[SNOOZED], "snoozed"]]);
  ranking.entries.forEach((entry, place) => {
    is(`suppressed of ${entry.id}`, entry.suppressed, marks.get(entry.item) ?? null);
    is(`item at ${place}`, entry.item, ranking.items[place]);
    is(`rank of ${entry.id}`, entry.rank, place + 1);
    is(`server rank of ${entry.id}`, asked.candidates[entry.serverRank - 1], entry.item);
    is(`score of ${entry.id}`, entry.score === null, reason !== null);
    is(`"frozen" of ${entry.id}`, entry.constraints.includes("frozen"), frozen.includes(entry.item));
  });
  return found;
}

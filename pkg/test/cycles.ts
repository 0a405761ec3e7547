import type { createReranker, List, Reranker, Session } from "ranklet";
import type { Candidate, Request } from "./fixtures.js";

/** What a page that lives for days does, a cycle at a time. Its state stays where it runs between the calls. */
export interface Life {
  /** Runs so many cycles more; gives how many answers were the model's. */
  run(cycles: number): Promise<number>;
  /** Bytes of all linear memories that are still alive. */
  linear(): number;
}

/**
 * A page with three lists: two surfaces, one with pages that are appended, and a side list that is abandoned without a word.
 * Each is mounted as React's strict mode does it: mount, unmount, mount. The account is switched every ten cycles, the whole
 * reranker made anew every hundred. What is unmounted goes into `kept`, where there is one: a page with a leak. It is sent to the browser as text, so it uses nothing but its arguments.
 */
export async function live(create: typeof createReranker, bundle: Uint8Array<ArrayBuffer>, asked: Request, kept?: unknown[]): Promise<Life> {
  const memories: WeakRef<WebAssembly.Memory>[] = [];
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class extends Instance {
    constructor(...given: ConstructorParameters<typeof Instance>) {
      super(...given);
      for (const made of Object.values(this.exports)) if (made instanceof WebAssembly.Memory) memories.push(new WeakRef(made));
    }
  };
  let now = asked.now;
  const third = Math.ceil(asked.candidates.length / 3);
  const pages = [0, 1, 2].map((page) => asked.candidates.slice(page * third, (page + 1) * third));
  let reranker: Reranker<Candidate> | undefined;
  let session: Session<Candidate> | undefined;
  const snapshots: (string | null)[] = [null, null, null];
  let done = 0;

  const mountApp = async () => {
    for (const strict of [true, false]) {
      reranker = create<Candidate>({ bundle, clock: () => now });
      if (strict) reranker.dispose();
    }
    await reranker!.ready;
  };
  const switchAccount = () => {
    const account = Math.floor(done / 10) % 3;
    if (session) {
      snapshots[(account + 2) % 3] = session.snapshot();
      session.dispose();
    }
    session = reranker!.session({ key: `account-${account}`, snapshot: snapshots[account]! });
  };
  const mount = (surface: string, listId: string | null, told: () => void) => {
    let made: { list: List<Candidate>; stop: () => void } | undefined;
    for (const strict of [true, false]) {
      const list = session!.prepare({ ...asked, surface, list_id: listId, now, candidates: pages[0]! });
      list.rerank();
      made = { list, stop: list.subscribe(told) };
      if (!strict) continue;
      made.stop();
      list.dispose();
    }
    return made!;
  };
  const cycle = async () => {
    now += 5000;
    let [told, models] = [0, 0];
    const rank = (list: List<Candidate>, frozen?: number) => {
      const ranking = list.rerank({ frozen: frozen ?? null });
      if (ranking.source === "model" && ranking.entries.length === ranking.items.length && ranking.record()) models += 1;
      return ranking;
    };
    const tell = () => (told += 1);
    const [main, side] = [mount("ads_manager", "home", tell), mount("assistant", null, tell)];
    const left = session!.prepare({ ...asked, surface: "sales_console", list_id: `left-${done % 100}`, now });
    const visible = rank(main.list).items.length;
    main.list.append(pages[1]!);
    // The lists that an impression was seen in are remembered up to a cap that takes days to reach: these come again.
    session!.observe({ type: "impression", candidate: pages[0]![0]!.id, surface: "ads_manager", list: `seen-${done % 20}` });
    session!.observe({ type: "open", candidate: pages[0]![done % third]!.id, surface: "ads_manager" });
    rank(main.list, visible);
    main.list.append([...pages[2]!, pages[1]![0]!]);
    side.list.update({ ...asked.facts, campaign: { strategy: "manual", daily_budget: done % 7 } });
    for (const list of [main.list, side.list, left]) rank(list);
    session!.observe({ type: "dismiss", candidate: pages[0]![done % third]!.id });
    await Promise.resolve();
    if (told !== 2) throw new Error(`cycle ${done}: told ${told} times`);
    for (const list of [main.list, side.list, left]) rank(list, 3);
    session!.observe({ type: "undo", candidate: pages[0]![done % third]!.id });
    for (const { list, stop } of [main, side]) {
      stop();
      // Half of what is unmounted is left to the collector.
      if (done % 2 === 0) list.dispose();
      kept?.push(list);
    }
    done += 1;
    return models;
  };
  return {
    async run(cycles) {
      let models = 0;
      for (let left = cycles; left > 0; left--) {
        if (done % 100 === 0) {
          session?.dispose();
          session = undefined;
          reranker?.dispose();
          await mountApp();
        }
        if (done % 10 === 0) switchAccount();
        models += await cycle();
        // A page comes back to its event loop between a person's acts; what the collector found is freed there.
        if (done % 20 === 0) await new Promise((next) => setTimeout(next, 0));
      }
      return models;
    },
    linear: () => memories.reduce((sum, memory) => sum + (memory.deref()?.buffer.byteLength ?? 0), 0),
  };
}

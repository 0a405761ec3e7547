// Re-ranks without end with a fault in one of ten, in Node and in a page: see chaos.test.ts.
import type { Delivery, Receiver } from "ranklet";
import type { Candidate } from "../fixtures.js";
import { LATE, mount, problems, tick, type Kit, type Page } from "./kit.js";

export interface Chaos {
  /** So many re-ranks more. Throws at the first that is not as it should be. */
  run(count: number): Promise<void>;
  /** Mounts all pages anew, so that two samples are of the same. */
  settle(): Promise<void>;
  /** Bytes of all linear memories that are alive. */
  linear(): number;
  /** Answers by reason. */
  readonly seen: Record<string, number>;
}

/** What one place ranks with: a reranker, its delivery, and what stands on the page. */
interface Stage {
  bundle: string;
  to: Receiver;
  reranker: Page["reranker"];
  page: Page;
  shown: readonly Candidate[];
}

/** An answer that is to be judged. */
interface Asked {
  reason: string | null;
  page: Page;
  shown: readonly Candidate[];
  options?: object;
  /** Has the stage well again. */
  after?: () => unknown;
}

const BIG = 8_000;

export async function chaos(kit: Kit, seed: number, leak?: unknown[]): Promise<Chaos> {
  const memories: WeakRef<WebAssembly.Memory>[] = [];
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class extends Instance {
    constructor(...given: ConstructorParameters<typeof Instance>) {
      super(...given);
      for (const made of Object.values(this.exports)) if (made instanceof WebAssembly.Memory) memories.push(new WeakRef(made));
      // What is gone is not kept by name.
      for (let at = memories.length - 1; at >= 0; at--) if (!memories[at]!.deref()) memories.splice(at, 1);
    }
  };
  const random = generator(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const { now } = kit.asked;
  // Of the machine: traps a minute apart are not counted together.
  let time = now;
  let clock = () => time;
  const module = await WebAssembly.compile((await kit.wasm("fragile")) as Uint8Array<ArrayBuffer>);
  const bundles = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of ["ads-recs", "next", "unbounded", "cut", "op", "golden"]) bundles.set(name, await kit.bundle(name));
  const asked = structuredClone(kit.asked);
  asked.candidates.forEach((item, at) => (item.features["uplift"] = at / 8));
  freeze(asked);
  const [one] = asked.candidates;
  const many = (count: number) => Array.from({ length: count }, (_, at) => Object.freeze({ ...one!, id: `more-${at}`, key: `more-${at}` }));
  const big = many(BIG);
  const more = many(16_385 - asked.candidates.length);
  const seen: Record<string, number> = {};

  const open = () => {
    const delivery: Delivery & { to?: Receiver } = { start(to) { this.to = to; }, stop: () => undefined };
    const reranker = kit.createReranker<Candidate>({ delivery, wasm: module, clock: () => clock(), maxEvents: 20 });
    return { delivery, reranker };
  };
  const stages = await Promise.all(["ads-recs", "unbounded"].map(async (bundle): Promise<Stage> => {
    const { delivery, reranker } = open();
    await tick();
    await delivery.to!.offer(bundles.get(bundle)!.slice());
    const page = mount(kit, reranker, asked);
    return { bundle, to: delivery.to!, reranker, page, shown: asked.candidates };
  }));

  const again = (stage: Stage, options: object = {}) => {
    leak?.push(stage.page.list);
    stage.page.session.dispose();
    stage.page = mount(kit, stage.reranker, asked, options);
    stage.shown = asked.candidates;
  };
  const judge = ({ reason, page, shown, options, after }: Asked): readonly Candidate[] => {
    const frozen = shown.filter(() => random() < 0.2);
    const given = random() < 0.5 ? frozen.map(({ id }) => id) : frozen.length;
    const kept = typeof given === "number" ? shown.slice(0, given) : frozen;
    const ranking = page.list.rerank({ now, frozen: given, ...options });
    const found = problems({ ranking, shown, frozen: kept, page }, reason);
    if (found.length > 0) throw new Error(`${reason ?? "model"}: ${found.join("; ")} (${ranking.detail})`);
    seen[reason ?? "model"] = (seen[reason ?? "model"] ?? 0) + 1;
    after?.();
    return ranking.items;
  };

  /** Each brings about one reason; `page` and `shown` where it is about another than the stage's. */
  const faults: Record<string, (stage: Stage) => Promise<Asked> | Asked> = {
    trapped: ({ page, shown }) => ({ reason: "trapped", page, shown, options: { now: now + LATE } }),
    out_of_memory: ({ page, shown, reranker }) => {
      while (reranker.status.source === "model") page.session.prepare({ ...asked, candidates: big }).rerank({ now });
      return { reason: "out_of_memory", page, shown };
    },
    loading: () => {
      const { reranker } = open();
      return { reason: "loading", page: mount(kit, reranker, asked), shown: asked.candidates, after: () => reranker.dispose() };
    },
    disposed: async (stage) => {
      const { delivery, reranker } = open();
      await tick();
      await delivery.to!.offer(bundles.get(stage.bundle)!.slice());
      const page = mount(kit, reranker, asked);
      const shown = judge({ reason: null, page, shown: asked.candidates });
      reranker.dispose();
      return { reason: "disposed", page, shown };
    },
    "disposed list": (stage) => {
      const { page, shown } = stage;
      page.list.dispose();
      return { reason: "disposed", page, shown, after: () => again(stage) };
    },
    superseded: (stage) => {
      again(stage, { list_id: "home" });
      const { page } = stage;
      const shown = judge({ reason: null, page, shown: asked.candidates });
      page.session.prepare({ ...asked, list_id: "home", now: now + 1 });
      return { reason: "superseded", page, shown, after: () => again(stage) };
    },
    stale_list: (stage) => {
      const { page, shown } = stage;
      page.session.dispose();
      return { reason: "stale_list", page, shown, after: () => again(stage) };
    },
    request_invalid: ({ page, shown }) => ({ reason: "request_invalid", page, shown, options: { now: pick([NaN, Infinity, "noon" as never]) } }),
    limit_exceeded: (stage) => {
      const { page, shown } = stage;
      page.list.append(more);
      const whole = { ...asked, candidates: [...asked.candidates, ...more] };
      return { reason: "limit_exceeded", page: { ...page, asked: whole, text: JSON.stringify(whole) }, shown, after: () => again(stage) };
    },
    score_not_finite: () => {
      const { page, shown } = stages[1]!;
      page.list.update({ campaign: { load: 1000 } });
      return { reason: "score_not_finite", page, shown, after: () => page.list.update(asked.facts!) };
    },
    deadline_exceeded: ({ page, shown }) => ({ reason: "deadline_exceeded", page, shown, options: { rows: 0 } }),
    disabled: ({ page, shown, to }) => {
      to.disable("chaos");
      return { reason: "disabled", page, shown, after: () => to.enable() };
    },
    "a bad bundle": async ({ page, shown, reranker }) => {
      const { reason } = await reranker.replace(bundles.get(pick(["cut", "op", "golden"]))!);
      return { reason, page, shown };
    },
    "a good bundle": async ({ page, shown, reranker, bundle }) => {
      const { reason } = await reranker.replace(bundles.get(bundle === "unbounded" ? bundle : pick(["ads-recs", "next"]))!);
      return { reason, page, shown };
    },
    "a clock that jumps": ({ page, shown }) => {
      clock = pick([() => NaN, () => time - 9e9, () => 8e15, () => { throw new Error("no time"); }]);
      page.session.observe({ type: "open", key: pick(asked.candidates).key });
      return { reason: null, page, shown, after: () => (clock = () => time) };
    },
  };
  const names = Object.keys(faults);

  return {
    seen,
    async run(count) {
      for (let at = 0; at < count; at++) {
        time += 1000;
        const stage = pick(stages);
        if (random() < 0.1) {
          time += 61_000;
          const found = faults[pick(names)]!(stage);
          // A turn of the microtasks is all that a new engine needs.
          const about = found instanceof Promise ? await found : found;
          const items = judge(about);
          const own = stages.find(({ page }) => page === about.page);
          if (own) own.shown = items;
          // What trapped is made anew, or what was switched off opened.
          for (let turn = 0; turn < 50 && stages.some(({ reranker }) => reranker.status.source !== "model"); turn++) await tick();
        } else {
          const { page } = stage;
          if (random() < 0.3) page.session.observe({ type: pick(["open", "impression", "dwell"]), key: pick(asked.candidates).key, time: now });
          stage.shown = judge({ reason: null, page, shown: stage.shown });
        }
        // A page comes back to its event loop; what the collector found is freed there.
        if (at % 50 === 0) await tick();
      }
    },
    async settle() {
      for (const stage of stages) {
        again(stage);
        stage.shown = judge({ reason: null, page: stage.page, shown: stage.shown });
        await tick();
      }
    },
    linear: () => memories.reduce((sum, memory) => sum + (memory.deref()?.buffer.byteLength ?? 0), 0),
  };
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) Object.values(value).forEach(freeze);
  return Object.freeze(value);
}

/** Mulberry32: the same numbers for the same seed. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

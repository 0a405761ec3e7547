// Bundles that take each other's place under continuous re-ranking: see chaos.test.ts.
import type { Candidate } from "../fixtures.js";
import { mount, problems, request, tick, type Kit } from "./kit.js";

export interface Swaps {
  run(ms: number): Promise<void>;
  linear(): number;
  swaps(): number;
  reranks(): number;
  /** Re-ranks by the version of the bundle that answered. */
  readonly seen: Record<string, number>;
}

export async function swaps(kit: Kit): Promise<Swaps> {
  const memories: WeakRef<WebAssembly.Memory>[] = [];
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class extends Instance {
    constructor(...given: ConstructorParameters<typeof Instance>) {
      super(...given);
      for (const made of Object.values(this.exports)) if (made instanceof WebAssembly.Memory) memories.push(new WeakRef(made));
      for (let at = memories.length - 1; at >= 0; at--) if (!memories[at]!.deref()) memories.splice(at, 1);
    }
  };
  const bundles = [await kit.bundle("ads-recs"), await kit.bundle("next")];
  const reranker = kit.createReranker<Candidate>({ bundle: bundles[0]!, wasm: (await kit.wasm("whole")) as never, clock: () => kit.asked.now, maxEvents: 20 });
  await reranker.ready;
  const page = mount(kit, reranker, request(kit));
  // Nobody ranks this one again: it must not keep an engine that is gone.
  const idle = page.session.prepare(page.asked);
  idle.rerank({ now: page.asked.now });
  let shown: readonly Candidate[] = page.asked.candidates;
  let [swapped, ranked] = [0, 0];
  const seen: Record<string, number> = {};
  const digests = new Map<string, string>();

  const rank = () => {
    const frozen = [shown[0]!, shown[5]!];
    page.session.observe({ type: "open", key: shown[ranked % shown.length]!.key, time: page.asked.now });
    const ranking = page.list.rerank({ now: page.asked.now, frozen: frozen.map(({ id }) => id) });
    const found = problems({ ranking, shown, frozen, page }, null);
    const { bundle } = reranker.status;
    const version = String(bundle!.version);
    // One bundle or the other, whole.
    if ((digests.get(version) ?? bundle!.digests.bundle) !== bundle!.digests.bundle) found.push("a bundle of two");
    digests.set(version, bundle!.digests.bundle);
    if (found.length > 0) throw new Error(`after ${swapped} swaps and ${ranked} re-ranks: ${found.join("; ")} (${ranking.detail})`);
    seen[version] = (seen[version] ?? 0) + 1;
    shown = ranking.items;
    ranked += 1;
  };

  return {
    seen,
    async run(ms) {
      const end = Date.now() + ms;
      let isOver = false;
      const swapping = (async () => {
        // An even number, so that two samples are of the same bundle.
        while (Date.now() < end || swapped % 2) {
          const began = Date.now();
          const { reason, detail, bundle } = await reranker.replace(bundles[++swapped % 2]!);
          if (reason !== null || detail !== "" || bundle!.version !== 1 + (swapped % 2)) throw new Error(`swap ${swapped}: ${reason}, ${detail}`);
          await new Promise((next) => setTimeout(next, Math.max(0, 10 - (Date.now() - began))));
        }
      })().finally(() => (isOver = true));
      while (!isOver) {
        rank();
        await tick();
      }
      await swapping;
      // The list stands in the engine that runs, as at any other sample.
      rank();
    },
    linear: () => memories.reduce((sum, memory) => sum + (memory.deref()?.buffer.byteLength ?? 0), 0),
    swaps: () => swapped,
    reranks: () => ranked,
  };
}

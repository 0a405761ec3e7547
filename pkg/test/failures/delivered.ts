// The cells of `ranklet/delivery`: what is let through to the engine at all.
import { createDelivery, type DeliveryOptions, type ManagedDelivery } from "ranklet/delivery";
import { memoryStore } from "ranklet/storage";
import type { Cell } from "./cells.js";
import { failing, healthy, model, rank, type Kit } from "./kit.js";

const ALL = ["node", "chromium", "workerd"] as const;

async function deliver(kit: Kit, file: string, options: Partial<DeliveryOptions> = {}): Promise<ManagedDelivery> {
  const keys = new TextDecoder().decode(await kit.bundle("keys"));
  return createDelivery({ keys, bundle: kit.url(file), name: "cell", ...options });
}

/** Nothing is known to be good: the server's order; a good bundle that is given by hand ranks. */
const refused = (reason: string, how: string, file: string, options: Partial<DeliveryOptions> = {}): Cell => ({
  reason, how, runtimes: ALL,
  provoke: async (kit) => failing(kit, { delivery: await deliver(kit, file, options) }),
  async recover({ page }, kit) {
    await page.reranker.replace(await kit.bundle("ads-recs"));
    model(page);
  },
});

/** One is known to be good: it ranks, in this visit and in the next, and the delivery says what became of the other. */
const kept = (code: string, how: string, file: string): Cell => ({
  reason: null, how, runtimes: ALL,
  async provoke(kit) {
    const store = memoryStore();
    const first = await healthy(kit, { delivery: await deliver(kit, "/bundle/signed", { store }) });
    // Until it is stored; what is asked for the second time is the same file.
    for (let tries = 0; (await store.keys("")).length < 2 && tries < 500; tries++) await new Promise((next) => setTimeout(next, 2));
    first.reranker.dispose();
    const delivery = await deliver(kit, file, { store });
    const page = await healthy(kit, { delivery });
    const { problem, serving } = await delivery.refresh();
    if (problem?.code !== code || serving?.version !== 3 || serving.from !== "store") throw new Error(JSON.stringify(delivery.state));
    return rank(page, page.shown);
  },
});

export const delivered: readonly Cell[] = [
  refused("bundle_unsigned", "a bundle of a compiler that knows no signature", "/bundle/ads-recs"),
  refused("bundle_unsigned", "a bundle that nobody signed", "/bundle/slotted"),
  refused("bundle_signature", "signed by a key that is not pinned", "/bundle/forged"),
  refused("bundle_signature", "one bit of a signed bundle flipped", "/bundle/turned"),
  refused("bundle_signature", "signed for a model of another name", "/bundle/signed", { model: "search" }),
  refused("bundle_rollback", "a version below `minVersion`", "/bundle/signed", { minVersion: 4 }),
  {
    ...refused("signature_unavailable", "no WebCrypto, as where a page is no secure context", "/bundle/signed"),
    async provoke(kit) {
      const own = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(crypto) as object, "subtle")!;
      Object.defineProperty(Object.getPrototypeOf(crypto) as object, "subtle", { ...own, get: () => undefined });
      try {
        return await failing(kit, { delivery: await deliver(kit, "/bundle/signed") });
      } finally {
        Object.defineProperty(Object.getPrototypeOf(crypto) as object, "subtle", own);
      }
    },
  },
  kept("bundle_unsigned", "an unsigned bundle after a good one, which stays", "/bundle/slotted"),
  kept("bundle_signature", "a forged bundle after a good one, which stays", "/bundle/forged"),
  kept("bundle_rollback", "an older version after a good one, which stays", "/bundle/older"),
  kept("self_test_failed", "a signed bundle that fails its self-test after a good one, which stays", "/bundle/signed-golden"),
  kept("bundle_fetch_failed", "no bundle after a good one, which stays", "/404"),
  {
    reason: "disabled", how: "the channel's kill switch, with a good bundle running", runtimes: ALL,
    async provoke(kit) {
      let file = "/bundle/channel";
      const delivery = await deliver(kit, file, { channel: { toString: () => kit.url(file) } as URL });
      const page = await healthy(kit, { delivery });
      file = "/bundle/killed";
      await delivery.refresh();
      return rank(page, page.shown);
    },
  },
];

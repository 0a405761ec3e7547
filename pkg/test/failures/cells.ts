// The failure table: each reason, each way in which it is provoked, and where. The tests run from it, and the table of
// docs/failures.md is written from it.
import type { Delivery, RankletError, Receiver } from "ranklet";
import { delivered } from "./delivered.js";
import { LATE, failing, healthy, made, model, mount, problems, rank, tick, type Kit, type Options, type Provoked, type Runtime } from "./kit.js";

export interface Cell {
  /** Null: nothing fails, though something is amiss. */
  reason: string | null;
  how: string;
  runtimes: readonly Runtime[];
  /** What the place itself has to be: a switch of the engine, a policy of the page, a server that is not there. */
  place?: "no-wasm" | "no-simd" | "csp" | "no-runtime" | "little-memory" | "wrong-type";
  provoke(kit: Kit): Promise<Provoked>;
  /** Has the page shown the model's order again, without a reload. */
  recover?(provoked: Provoked, kit: Kit): Promise<void>;
}

const ALL = ["node", "chromium", "workerd"] as const;
/** A worker is handed compiled modules and fetches none. */
const COMPILING = ["node", "chromium"] as const;

const load = (reason: string | null, how: string, options: (kit: Kit) => Promise<Options> | Options, runtimes: readonly Runtime[] = ALL): Cell => ({
  reason, how, runtimes,
  async provoke(kit) {
    return failing(kit, await options(kit));
  },
  // Whatever the bundle was, a good one takes its place; a runtime that could not be had is asked for again.
  ...(reason?.startsWith("bundle") && { recover: replaced }),
});

async function replaced({ page, ranking }: Provoked, kit: Kit): Promise<void> {
  const { detail, reason } = await page.reranker.replace(await kit.bundle("ads-recs"));
  if (reason !== null) throw new Error(`not replaced: ${reason}, ${detail}`);
  // The list that was prepared while there was none takes part.
  model(page, { frozen: 0 });
  if (ranking.source !== "server") throw new Error("a ranking changed afterwards");
}

/** Runs one cell; what was wrong. */
export async function run(cell: Cell, kit: Kit): Promise<string[]> {
  const provoked = await cell.provoke(kit);
  const found = problems(provoked, cell.reason);
  try {
    await cell.recover?.(provoked, kit);
  } catch (thrown) {
    found.push(`afterwards: ${String(thrown)}`);
  }
  provoked.page.reranker.dispose();
  return found;
}

const trap = (how: string, name: string, stop: (page: Awaited<ReturnType<typeof healthy>>) => unknown, reason = "trapped"): Cell => ({
  reason, how, runtimes: ALL,
  async provoke(kit) {
    const page = await healthy(kit, { wasm: (await kit.wasm(name)) as never });
    stop(page);
    return rank(page, page.shown);
  },
  async recover({ page, ranking }) {
    await tick();
    const again = model(page, { frozen: 4 });
    if (again.items.slice(0, 4).some((item, place) => item !== ranking.items[place])) throw new Error("what was frozen moved");
  },
});

/** A delivery in the test's hands. */
function held(): Delivery & { to?: Receiver } {
  return { start(to) { this.to = to; }, stop() {} };
}

const list = (reason: string | null, how: string, act: (kit: Kit) => Promise<Provoked>, recover?: Cell["recover"]): Cell => ({
  reason, how, runtimes: ALL, provoke: act, ...(recover && { recover }),
});

export const cells: readonly Cell[] = [
  load(null, "nothing is wrong", () => ({})),

  list("loading", "a list is ranked before the load ends", async (kit) => rank(mount(kit, await made(kit, {}))), async ({ page }) => {
    await page.reranker.ready;
    model(page);
  }),
  list("disposed", "the list is disposed", async (kit) => {
    const page = await healthy(kit);
    page.list.dispose();
    return rank(page, page.shown);
  }),
  list("disposed", "the reranker is disposed", async (kit) => {
    const page = await healthy(kit);
    page.reranker.dispose();
    return rank(page, page.shown);
  }),
  list("disposed", "the reranker is disposed while it loads", async (kit) => {
    const page = mount(kit, await made(kit, {}));
    page.reranker.dispose();
    return rank(page);
  }),
  list("superseded", "a newer response of the same `list_id` is prepared", async (kit) => {
    const page = await healthy(kit, {}, undefined, { list_id: "home" });
    page.session.prepare({ ...page.asked, list_id: "home", now: page.asked.now + 1000 });
    return rank(page, page.shown);
  }),
  list("stale_list", "its session is disposed", async (kit) => {
    const page = await healthy(kit);
    page.session.dispose();
    return rank(page, page.shown);
  }),
  list("stale_list", "a bundle with other columns takes the place of the one it was read for", async (kit) => {
    const page = await healthy(kit);
    await page.reranker.replace(await kit.bundle("unbounded"));
    return rank(page, page.shown);
  }, async ({ page }, kit) => {
    model({ ...page, list: page.session.prepare(page.asked) });
    // What refused it is gone, and so is the refusal.
    await page.reranker.replace(await kit.bundle("ads-recs"));
    model(page);
  }),
  list("stale_list", "a bundle takes that place which reads as many columns, but others", async (kit) => {
    const page = await healthy(kit, { bundle: await kit.bundle("unbounded") }, finite(kit));
    await page.reranker.replace(await kit.bundle("renamed"));
    return rank(page, page.shown);
  }, async ({ page }) => void model({ ...page, list: page.session.prepare(page.asked) })),

  { reason: "wasm_unavailable", how: "V8 runs without WebAssembly", runtimes: ["node"], place: "no-wasm", provoke: (kit) => failing(kit, { wasm: undefined as never }) },
  { reason: "simd_unavailable", how: "V8 runs without the instructions that SIMD needs", runtimes: COMPILING, place: "no-simd", provoke: (kit) => failing(kit, { wasm: undefined as never }) },
  { reason: "csp_blocked", how: "the page's policy lacks `'wasm-unsafe-eval'`", runtimes: ["chromium"], place: "csp", provoke: (kit) => failing(kit, { wasm: undefined as never }) },
  { reason: "csp_blocked", how: "a worker is given bytes, which it must not compile", runtimes: ["workerd"], provoke: (kit) => failing(kit, { wasm: Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0) }) },
  { reason: "wasm_fetch_failed", how: "the runtime does not lie beside the package", runtimes: COMPILING, place: "no-runtime", provoke: (kit) => failing(kit, { wasm: undefined as never }) },
  load("wasm_fetch_failed", "the server answers 404", ({ url }) => ({ wasm: url("/404") }), COMPILING),
  load("wasm_fetch_failed", "the server closes the connection without an answer", ({ url }) => ({ wasm: url("/broken") }), COMPILING),
  load("wasm_fetch_failed", "the answer breaks off", ({ url }) => ({ wasm: url("/half/wasm/whole") }), COMPILING),
  load("wasm_fetch_failed", "nobody listens there: offline", () => ({ wasm: "http://127.0.0.1:9/" }), COMPILING),
  load("wasm_fetch_failed", "the caller's promise of it rejects", () => ({
    // Not before it is asked for: until then nobody would handle it.
    get wasm() { return Promise.reject(new Error("offline")); },
  }), ALL),
  load("wasm_invalid", "cut after 5,000 bytes", async (kit) => ({ wasm: ((await kit.wasm("whole")) as Uint8Array).slice(0, 5000) }), COMPILING),
  load("wasm_invalid", "cut, and streamed", ({ url }) => ({ wasm: url("/wasm/cut") }), COMPILING),
  load("wasm_invalid", "a flipped bit", ({ url }) => ({ wasm: url("/wasm/flipped") }), COMPILING),
  load("wasm_invalid", "a page in its place", ({ url }) => ({ wasm: url("/page") }), COMPILING),
  load("wasm_invalid", "another module", async (kit) => ({ wasm: (await kit.wasm("empty")) as never })),
  load(null, "the runtime comes as `text/plain`: it is compiled from bytes", ({ url }) => ({ wasm: url("/text/wasm/whole") }), COMPILING),
  { reason: null, how: "the package's own runtime comes as `text/plain`", runtimes: ["chromium"], place: "wrong-type", provoke: (kit) => failing(kit, { wasm: undefined as never }) },

  load("bundle_fetch_failed", "the server answers 404", ({ url }) => ({ bundle: url("/404") })),
  load("bundle_fetch_failed", "the server answers 500", ({ url }) => ({ bundle: url("/500") })),
  load("bundle_fetch_failed", "the server closes the connection without an answer", ({ url }) => ({ bundle: url("/broken") })),
  load("bundle_fetch_failed", "the answer breaks off", ({ url }) => ({ bundle: url("/half/bundle/ads-recs") })),
  load("bundle_fetch_failed", "nobody listens there: offline", () => ({ bundle: "http://127.0.0.1:9/" })),
  load("bundle_fetch_failed", "nothing is given", () => ({ bundle: undefined as never })),
  load("bundle_fetch_failed", "the delivery throws when it starts", () => ({ delivery: { start() { throw new Error("no"); }, stop() {} } })),
  {
    reason: "load_timeout", how: "the server never answers", runtimes: ALL,
    provoke: async (kit) => failing(kit, { bundle: kit.url("/never"), loadTimeoutMs: 60 }),
  },
  {
    reason: "load_timeout", how: "the server is slow; its answer counts when it comes", runtimes: ALL,
    provoke: (kit) => failing(kit, { bundle: kit.url("/late/bundle/ads-recs"), loadTimeoutMs: 60 }),
    async recover({ page }, kit) {
      const due = new Promise<void>((told) => page.list.subscribe(told));
      await Promise.all([due, kit.release()]);
      model(page);
    },
  },
  ...["cut", "flipped", "magic", "empty", "page"].map((name) => load("bundle_corrupt", {
    cut: "cut at three fifths", flipped: "one bit flipped", magic: "its first bytes are others", empty: "empty", page: "a page in its place",
  }[name]!, async (kit) => ({ bundle: await kit.bundle(name) }))),
  load("bundle_corrupt", "one bit flipped, and the host hashes nothing", async (kit) => {
    return { bundle: kit.bundle("flipped"), ...(await withoutHashes()) };
  }),
  ...["format", "minor", "requires", "op"].map((name) => load("bundle_incompatible", {
    format: "a newer format", minor: "a newer minor format", requires: "it requires a section that this runtime does not know", op: "its plan has an unknown op",
  }[name]!, async (kit) => ({ bundle: await kit.bundle(name) }))),
  load("self_test_failed", "the stored scores differ from what this machine computes", async (kit) => ({ bundle: await kit.bundle("golden") })),
  {
    ...load("bundle_corrupt", "the first of a delivery is bad", () => ({})),
    async provoke(kit) {
      const delivery = held();
      const page = mount(kit, await made(kit, { delivery }));
      await tick();
      const code = await delivery.to!.offer(await kit.bundle("cut")).then(() => null, (error: unknown) => error);
      delivery.to!.refuse(code as RankletError);
      return rank(page);
    },
  },
  list(null, "a bad bundle is to take the place of a good one, which stays", async (kit) => {
    const page = await healthy(kit);
    for (const [bad, wanted] of [["cut", "bundle_corrupt"], ["op", "bundle_incompatible"], ["golden", "self_test_failed"]] as const) {
      const { source, detail, bundle } = await page.reranker.replace(await kit.bundle(bad));
      if (source !== "model" || !detail.startsWith(wanted) || bundle?.version !== 1) throw new Error(`${bad}: ${source}, ${detail}`);
    }
    const { source, detail } = await page.reranker.replace(kit.url("/404"));
    if (source !== "model" || !detail.includes("404")) throw new Error(`404: ${source}, ${detail}`);
    return rank(page, page.shown);
  }),

  ...delivered,

  list("request_invalid", "two candidates have one id", async (kit) => twice(kit)),
  list("request_invalid", "`now` is no time", async (kit) => {
    const page = await healthy(kit);
    return rank(page, page.shown, { now: NaN });
  }, async ({ page }) => void model(page)),
  list("request_invalid", "a getter of the caller's throws", async (kit) => {
    const asked = structuredClone(kit.asked);
    Object.defineProperty(asked.candidates[2]!.features, "uplift", { get() { throw new Error("lazy"); }, enumerable: false });
    const reranker = await made(kit, {});
    await reranker.ready;
    return rank(mount(kit, reranker, asked));
  }),
  list("schema_mismatch", "the bundle scores but has no schema", async (kit) => {
    const reranker = await made(kit, { bundle: await kit.bundle("bare") });
    await reranker.ready;
    return rank(mount(kit, reranker));
  }, async ({ page }, kit) => {
    await page.reranker.replace(await kit.bundle("ads-recs"));
    model({ ...page, list: page.session.prepare(page.asked) });
  }),
  list("limit_exceeded", "16,385 candidates", async (kit) => {
    const page = await healthy(kit);
    const [one] = page.asked.candidates;
    const more = Array.from({ length: 16_385 - page.shown.length }, (_, at) => Object.freeze({ ...one!, id: `more-${at}`, key: `more-${at}` }));
    page.list.append(more);
    const asked = { ...page.asked, candidates: [...page.asked.candidates, ...more] };
    return rank({ ...page, asked, text: JSON.stringify(asked) }, page.shown);
  }),
  ...([["NaN", -5, 0], ["infinite", 1, 1000]] as const).map(([what, uplift, load]) => list("score_not_finite", `a model whose score is ${what}`, async (kit) => {
    const asked = structuredClone(kit.asked);
    asked.candidates.forEach((item) => (item.features["uplift"] = 1));
    asked.candidates[3]!.features["uplift"] = uplift;
    const reranker = await made(kit, { bundle: await kit.bundle("unbounded") });
    await reranker.ready;
    const page = mount(kit, reranker, asked);
    if (load > 0) {
      const shown = model(page).items;
      page.list.update({ ...asked.facts, campaign: { load } });
      return rank(page, shown);
    }
    return rank(page);
  }, load > 0 ? async ({ page }) => {
    page.list.update(page.asked.facts!);
    model(page);
  } : undefined)),
  list("deadline_exceeded", "a work budget below the first screen", async (kit) => {
    const page = await healthy(kit);
    return rank(page, page.shown, { rows: 0 });
  }, async ({ page }) => void model(page)),

  {
    ...trap("the engine traps in the middle of `rerank`", "late-rerank", () => undefined),
    async provoke(kit) {
      const page = await healthy(kit, { wasm: (await kit.wasm("late-rerank")) as never });
      return rank(page, page.shown, { now: page.asked.now + LATE });
    },
  },
  trap("another call of the engine traps", "engine_signals", ({ session }) => session.signals()),
  load("trapped", "the engine traps while it opens the bundle", async (kit) => ({ wasm: (await kit.wasm("engine_new")) as never })),
  list("trapped", "it traps at every `rerank`: three times in a minute open the breaker", async (kit) => {
    const reranker = await made(kit, { wasm: (await kit.wasm("engine_rerank")) as never });
    await reranker.ready;
    const page = mount(kit, reranker);
    for (let at = 0; at < 3; at++) {
      page.list.rerank({ now: page.asked.now });
      await tick();
    }
    if (!reranker.status.detail.includes("too often")) throw new Error(`the breaker is not open: ${reranker.status.detail}`);
    return rank(page);
  }),
  list("out_of_memory", "memory may not grow, and a long list comes", async (kit) => {
    const page = await healthy(kit, { wasm: (await kit.wasm("capped")) as never });
    crowd(page);
    if (page.reranker.status.reason !== "out_of_memory") throw new Error(`status: ${page.reranker.status.reason}`);
    return rank(page, page.shown);
  }, async ({ page }) => {
    await tick();
    model(page, { frozen: 2 });
  }),
  { reason: "out_of_memory", how: "the place has no memory for an instance", runtimes: COMPILING, place: "little-memory", provoke: (kit) => failing(kit, { wasm: undefined as never }) },

  load("disabled", "`enabled: false`", () => ({ enabled: false })),
  list("disabled", "the kill switch of a delivery", async (kit) => {
    const delivery = held();
    const reranker = await made(kit, { delivery });
    await tick();
    await delivery.to!.offer(await kit.bundle("ads-recs"));
    const page = mount(kit, reranker);
    const shown = model(page).items;
    switches.set(reranker, delivery.to!);
    delivery.to!.disable("an incident");
    // It beats what comes later.
    await delivery.to!.offer(await kit.bundle("ads-recs"));
    if (reranker.status.detail !== "an incident") throw new Error(`detail: ${reranker.status.detail}`);
    return rank(page, shown);
  }, async ({ page }) => {
    switches.get(page.reranker)!.enable();
    await tick();
    model(page, { frozen: 4 });
  }),
];

const switches = new WeakMap<object, Receiver>();

/** Fills the linear memory with lists until there is an end to it. */
function crowd({ session, asked, reranker }: { session: Provoked["page"]["session"]; asked: Provoked["page"]["asked"]; reranker: Provoked["page"]["reranker"] }): void {
  for (let round = 0; round < 64 && reranker.status.source === "model"; round++) {
    const candidates = Array.from({ length: 4096 }, (_, at) => ({ ...asked.candidates[0]!, id: `crowd-${at}`, key: `crowd-${at}` }));
    session.prepare({ ...asked, candidates }).rerank({ now: asked.now });
  }
}

async function twice(kit: Kit): Promise<Provoked> {
  const asked = structuredClone(kit.asked);
  asked.candidates[5]!.id = asked.candidates[0]!.id;
  const reranker = await made(kit, {});
  await reranker.ready;
  const page = mount(kit, reranker, asked);
  return { ...rank(page), frozen: [], shown: asked.candidates, ranking: page.list.rerank({ now: asked.now }) };
}

/** A request whose scores `unbounded` keeps finite. */
function finite({ asked }: Kit): Kit["asked"] {
  const own = structuredClone(asked);
  own.candidates.forEach((item, at) => (item.features["uplift"] = at / 8));
  return own;
}

/** As where a page is no secure context; for the rest of one load. */
async function withoutHashes(): Promise<Options> {
  const own = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(crypto) as object, "subtle")!;
  Object.defineProperty(Object.getPrototypeOf(crypto) as object, "subtle", { ...own, get: () => undefined });
  return {
    onStatus: () => Object.defineProperty(Object.getPrototypeOf(crypto) as object, "subtle", own),
  };
}

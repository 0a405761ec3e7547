// Bundles over a reranker's life: a delivery's, and those that `replace` brings.
import { createReranker, type Delivery, type Ranking, type Receiver, type RankletError, type Status } from "ranklet";
import { readDecision } from "ranklet/records";
import { expect, test } from "vitest";
import { file } from "./failures/files.js";
import { bundle, events, request, wasm, type Candidate } from "./fixtures.js";
import { trapping } from "./sabotage.js";

const asked = request();
const { now } = asked;
const tick = () => new Promise((done) => setTimeout(done, 0));
const named = (name: string) => file(`/bundle/${name}`)!.slice();
const next = () => named("next");
const bits = ({ entries }: Ranking<Candidate>) => entries.map(({ id, score, utility, suppressed }) => [id, score, utility, suppressed]);
const module = WebAssembly.compile(wasm());

class Held implements Delivery {
  to!: Receiver;
  started = 0;
  stopped = 0;
  start(to: Receiver) {
    this.to = to;
    this.started += 1;
  }
  stop() {
    this.stopped += 1;
  }
}

async function delivered(options: object = {}) {
  const delivery = new Held();
  const seen: Status[] = [];
  const reranker = createReranker<Candidate>({
    delivery, wasm: module, clock: () => now, onStatus: (status) => seen.push(status), ...options,
  });
  while (delivery.started === 0) await tick();
  return { reranker, to: delivery.to, delivery, seen, versions: () => seen.map(({ bundle, reason }) => bundle?.version ?? reason) };
}

test("a delivery: loading, what it refuses, what it offers; ready at the first of them", async () => {
  const { reranker, to, delivery, versions } = await delivered();
  expect(reranker.status.reason).toBe("loading");
  const { RankletError } = await import("ranklet");
  to.refuse(new RankletError("bundle_fetch_failed", "offline"));
  expect(await reranker.ready).toMatchObject({ source: "server", reason: "bundle_fetch_failed", detail: "offline" });
  await expect(to.offer(named("cut"))).rejects.toMatchObject({ code: "bundle_corrupt" });
  expect(reranker.status.reason).toBe("bundle_fetch_failed");
  expect(await to.offer(bundle())).toMatchObject({ name: "ads-recs", version: 1 });
  expect((await to.offer(next())).version).toBe(2);
  to.refuse(new RankletError("bundle_fetch_failed", "offline"));
  expect(reranker.status).toMatchObject({ source: "model", bundle: { version: 2 } });
  expect(versions()).toEqual(["bundle_fetch_failed", 1, 2]);
  expect(await to.read("/not/there").catch(({ code }: RankletError) => code)).toBe("bundle_fetch_failed");
  expect(to.now()).toBe(now);
  reranker.dispose();
  reranker.dispose();
  expect([delivery.started, delivery.stopped]).toEqual([1, 1]);
  await expect(to.offer(next())).rejects.toMatchObject({ code: "disposed" });
  await expect(to.read("/x")).rejects.toMatchObject({ code: "disposed" });
  to.refuse(new RankletError("bundle_fetch_failed", "offline"));
  to.disable("too late");
  to.enable();
  expect(reranker.status.reason).toBe("disposed");
});

test("after a swap a list ranks as one that was made with the new bundle; what is frozen stands; subscribers are told once", async () => {
  const { reranker, to } = await delivered();
  await to.offer(bundle());
  const session = reranker.session();
  const list = session.prepare({ ...asked, candidates: asked.candidates.slice(0, 7) });
  for (const event of events()) session.observe(event);
  list.append(asked.candidates.slice(7));
  list.update({ ...asked.facts, campaign: { daily_budget: 5 } });
  const shown = list.rerank({ now }).items;
  let told = 0;
  list.subscribe(() => (told += 1));
  await to.offer(next());
  await tick();
  expect(told).toBe(1);
  const after = list.rerank({ now, frozen: 4 });
  expect([after.source, after.items.slice(0, 4)]).toEqual(["model", shown.slice(0, 4)]);
  expect(readDecision(after.record()!).digests!.bundle).toBe(reranker.status.bundle!.digests.bundle);

  const other = createReranker<Candidate>({ bundle: next(), wasm: module, clock: () => now });
  await other.ready;
  const same = other.session();
  const fresh = same.prepare({ ...asked, candidates: asked.candidates.slice(0, 7) });
  for (const event of events()) same.observe(event);
  fresh.append(asked.candidates.slice(7));
  fresh.update({ ...asked.facts, campaign: { daily_budget: 5 } });
  expect(bits(list.rerank({ now }))).toEqual(bits(fresh.rerank({ now })));
  expect(session.snapshot()).toBe(same.snapshot());
  [reranker, other].forEach((one) => one.dispose());
});

test("of two at a time the one that was asked for later stands, whichever comes first", async () => {
  const { reranker, to } = await delivered();
  await to.offer(bundle());
  let late!: (bytes: Uint8Array<ArrayBuffer>) => void;
  const first = reranker.replace(new Promise<Uint8Array<ArrayBuffer>>((come) => (late = come)));
  expect((await reranker.replace(next())).bundle!.version).toBe(2);
  late(bundle());
  expect(await first).toMatchObject({ source: "model", detail: expect.stringMatching(/^superseded/) as string, bundle: { version: 2 } });
  // A later one that is bad stands for nothing.
  const again = reranker.replace(new Promise<Uint8Array<ArrayBuffer>>((come) => (late = come)));
  await reranker.replace(named("cut"));
  late(bundle());
  expect((await again).bundle!.version).toBe(1);
  reranker.dispose();
});

test("disposed while a bundle is opened: it is not taken", async () => {
  const { reranker, to, seen } = await delivered();
  const offered = to.offer(bundle());
  reranker.dispose();
  await expect(offered).rejects.toMatchObject({ code: "disposed" });
  expect([reranker.status.reason, seen.length]).toEqual(["disposed", 1]);
});

test("replace: the first load is one of its kind, and it never rejects", async () => {
  const reranker = createReranker<Candidate>({ bundle: "/not/there", wasm: module });
  expect((await reranker.ready).reason).toBe("bundle_fetch_failed");
  const list = reranker.session().prepare(asked);
  expect(await reranker.replace(7 as never)).toMatchObject({ reason: "bundle_fetch_failed", bundle: null });
  expect(await reranker.replace(named("op"))).toMatchObject({ reason: "bundle_incompatible", bundle: null });
  expect(await reranker.replace(Promise.resolve(bundle()))).toMatchObject({ source: "model", reason: null, detail: "" });
  // What was read of the candidates while nothing ran is what the model sees.
  expect(bits(list.rerank({ now }))).toEqual(bits(reranker.session().prepare(asked).rerank({ now })));
  reranker.dispose();
  expect(await reranker.replace(bundle())).toMatchObject({ source: "server", reason: "disposed" });
  const off = createReranker<Candidate>({ enabled: false, bundle: bundle() });
  expect(await off.replace(bundle())).toMatchObject({ source: "server", reason: "disabled" });
});

test("what was observed while nothing ran counts when something does: after a failed load, too", async () => {
  const reranker = createReranker<Candidate>({ bundle: "/not/there", wasm: module, clock: () => now, maxEvents: 3 });
  await reranker.ready;
  const session = reranker.session();
  expect(session.observe({ type: "dismiss", key: asked.candidates[0]!.key, time: now }).accepted).toBe(true);
  for (let at = 0; at < 5; at++) expect(session.observe({ type: "search", value: "budget", time: now }).accepted).toBe(true);
  await reranker.replace(bundle());
  // The oldest of what marks nothing made room.
  expect(session.signals({ now })["local.session.events"]).toBe(3);
  expect(session.prepare(asked).rerank({ now }).entries.find(({ serverRank }) => serverRank === 1)!.suppressed).toBe("dismissed");
  reranker.dispose();
});

test("a runtime that could not be had is asked for again with the next bundle, and compiled once where it could", async () => {
  const { compile } = WebAssembly;
  let [compiles, reads] = [0, 0];
  WebAssembly.compile = (bytes) => {
    compiles += 1;
    return compile(bytes);
  };
  try {
    const source = new URL("file:///not/there.wasm");
    const reranker = createReranker<Candidate>({ bundle: bundle(), get wasm() { reads += 1; return source; } });
    expect((await reranker.ready).reason).toBe("wasm_fetch_failed");
    source.href = new URL("../dist/ranklet.wasm", import.meta.url).href;
    expect((await reranker.replace(bundle())).reason).toBeNull();
    for (let at = 0; at < 3; at++) await reranker.replace(next());
    expect([compiles, reads]).toEqual([1, 1]);
    reranker.dispose();
  } finally {
    WebAssembly.compile = compile;
  }
});

test("the kill switch: at once, told to subscribers, over whatever comes, until it is lifted", async () => {
  const { reranker, to, versions } = await delivered();
  to.disable("not yet");
  expect(await reranker.ready).toMatchObject({ source: "server", reason: "disabled", detail: "not yet" });
  await to.offer(bundle());
  expect(reranker.status).toMatchObject({ reason: "disabled", bundle: null });
  to.enable();
  await tick();
  const session = reranker.session();
  const list = session.prepare(asked);
  const shown = list.rerank({ now }).items;
  let told = 0;
  list.subscribe(() => (told += 1));
  to.disable("an incident");
  expect(list.rerank({ now, frozen: 2 })).toMatchObject({ source: "server", reason: "disabled", detail: "an incident" });
  expect(list.rerank({ now, frozen: 2 }).items.slice(0, 2)).toEqual(shown.slice(0, 2));
  session.observe({ type: "search", value: "budget", time: now });
  await tick();
  expect(told).toBe(1);
  await to.offer(next());
  expect(reranker.status.reason).toBe("disabled");
  to.enable();
  to.enable();
  await tick();
  expect(told).toBe(2);
  expect(reranker.status.bundle!.version).toBe(2);
  expect(list.rerank({ now }).source).toBe("model");
  expect(session.signals({ now })["local.session.events"]).toBe(1);
  expect(versions()).toEqual(["disabled", "loading", 1, "disabled", "loading", 2]);
  reranker.dispose();
});

test("after a trap the bundle that ran is opened again; a new bundle closes the breaker", async () => {
  const { reranker, to } = await delivered({ wasm: trapping(wasm(), "engine_signals") });
  await to.offer(bundle());
  await to.offer(next());
  const session = reranker.session();
  const list = session.prepare(asked);
  list.rerank({ now });
  for (let at = 0; at < 3; at++) {
    expect(reranker.status.bundle!.version).toBe(2);
    session.signals();
    await tick();
  }
  expect(reranker.status).toMatchObject({ reason: "trapped", detail: expect.stringContaining("too often") as string });
  const { RankletError } = await import("ranklet");
  to.refuse(new RankletError("bundle_fetch_failed", "offline"));
  expect(reranker.status.reason).toBe("trapped");
  await to.offer(bundle());
  expect(list.rerank({ now }).source).toBe("model");
  for (let at = 0; at < 2; at++) {
    session.signals();
    await tick();
    expect(reranker.status.source).toBe("model");
  }
  reranker.dispose();
});

test("clocks that jump: traps an hour apart are not three in a minute, whichever way the clock went", async () => {
  for (const step of [3_600_000, -3_600_000]) {
    let time = now;
    const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_signals"), clock: () => time });
    await reranker.ready;
    const session = reranker.session();
    for (let at = 0; at < 6; at++) {
      session.signals();
      await tick();
      expect(reranker.status.source).toBe("model");
      time += step;
    }
    // A clock that fails tells the system's time: those are together.
    time = NaN;
    for (let at = 0; at < 3; at++) {
      session.signals();
      await tick();
    }
    expect(reranker.status.detail).toContain("too often");
    reranker.dispose();
  }
});

test("no re-rank fails at any time, and no event ahead of its time outlasts what follows", async () => {
  let time: unknown = now;
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: module, clock: () => time as number });
  await reranker.ready;
  const session = reranker.session();
  const list = session.prepare(asked);
  const key = asked.candidates[0]!.key;
  const mark = () => list.rerank().entries.find((entry) => entry.key === key)!.suppressed;
  for (const jump of [8.64e15, -8.64e15, 0, now - 1e9, NaN, Infinity, "noon", undefined, now]) {
    time = jump;
    expect(list.rerank().source).toBe("model");
    expect(session.observe({ type: "open", key, time: 9e15 }).accepted).toBe(true);
  }
  time = now;
  session.observe({ type: "dismiss", key });
  expect(mark()).toBe("dismissed");
  // A time that is none is no reason to show what is hidden.
  for (const wrong of [NaN, Infinity, -Infinity, "noon"]) {
    const { reason, entries } = list.rerank({ now: wrong as number });
    expect([reason, entries.find((entry) => entry.key === key)!.suppressed]).toEqual(["request_invalid", "dismissed"]);
  }
  reranker.dispose();
});

test("engines that are gone are let go, though a list that nobody ranks again was in each", async () => {
  const memories: WeakRef<WebAssembly.Memory>[] = [];
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class extends Instance {
    constructor(...given: ConstructorParameters<typeof Instance>) {
      super(...given);
      for (const made of Object.values(this.exports)) if (made instanceof WebAssembly.Memory) memories.push(new WeakRef(made));
    }
  };
  try {
    const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_signals"), clock: () => now });
    await reranker.ready;
    const idle = [];
    for (let at = 0; at < 20; at++) {
      const session = reranker.session();
      const list = session.prepare(asked);
      list.rerank({ now });
      idle.push(list);
      if (at % 2) await reranker.replace(bundle());
      // The second trap within a minute, and the bundle after it closes the count.
      else session.signals();
      await tick();
    }
    const { setFlagsFromString } = await import("node:v8");
    const { runInNewContext } = await import("node:vm");
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    for (let at = 0; at < 8; at++) {
      collect();
      await tick();
    }
    const alive = memories.filter((memory) => memory.deref()).length;
    expect([memories.length, idle.length]).toEqual([21, 20]);
    expect(alive).toBeLessThanOrEqual(2);
    reranker.dispose();
  } finally {
    WebAssembly.Instance = Instance;
  }
});

// Traps, provoked in the real runtime: one exported function's body is replaced by `unreachable`.
import { createReranker, type Ranking } from "ranklet";
import { createScorer } from "ranklet/scorer";
import { expect, test } from "vitest";
import { bundle, events, request, wasm, type Candidate } from "./fixtures.js";
import { trapping } from "./sabotage.js";

const asked = request();
const { now } = asked;

const order = ({ entries }: Ranking<Candidate>) => entries.map(({ id, score, utility, suppressed }) => [id, score, utility, suppressed]);

/** Past the microtask in which a new engine is made. */
const rebuilt = () => new Promise((done) => setTimeout(done, 0));

test("after a trap: server order, then a new engine that knows all the old one knew", async () => {
  const clock = { now };
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_signals"), clock: () => clock.now, maxEvents: 4 });
  await reranker.ready;
  const session = reranker.session();
  const list = session.prepare({ ...asked, candidates: asked.candidates.slice(0, 9) });
  list.append(asked.candidates.slice(9));
  list.update(asked.facts!);
  for (const event of events()) session.observe(event);
  session.observe({ type: "dismiss", candidate: asked.candidates[0]!.id, time: now });
  const before = list.rerank({ now });
  expect(before.source).toBe("model");
  let due = 0;
  list.subscribe(() => (due += 1));

  expect(session.signals()).toEqual({});
  expect(reranker.status).toMatchObject({ source: "server", reason: "trapped" });
  const meanwhile = list.rerank({ now, frozen: 2 });
  expect([meanwhile.source, meanwhile.reason]).toEqual(["server", "trapped"]);
  expect(meanwhile.items.slice(0, 2)).toEqual(before.items.slice(0, 2));
  expect(meanwhile.entries.find(({ serverRank }) => serverRank === 1)!.suppressed).toBe("dismissed");
  expect(session.observe({ type: "search", value: "budget", time: now }).accepted).toBe(true);

  await rebuilt();
  expect(due).toBeGreaterThan(0);
  const control = createReranker<Candidate>({ bundle: bundle() });
  await control.ready;
  const other = control.session();
  const same = other.prepare(asked);
  for (const event of events()) other.observe(event);
  other.observe({ type: "dismiss", candidate: asked.candidates[0]!.id, time: now });
  other.observe({ type: "search", value: "budget", time: now });
  expect(order(list.rerank({ now }))).toEqual(order(same.rerank({ now })));
  control.dispose();
  reranker.dispose();
});

test("what is frozen stands where it was shown, in a new engine too", async () => {
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_signals") });
  await reranker.ready;
  const session = reranker.session();
  const list = session.prepare(asked);
  for (const event of events()) session.observe(event);
  const shown = list.rerank({ now }).items;
  expect(shown.slice(0, 4)).not.toEqual(asked.candidates.slice(0, 4));
  session.signals();
  await rebuilt();
  session.observe({ type: "dismiss", candidate: shown[1]!.id, time: now });
  const after = list.rerank({ now, frozen: 4 });
  expect([after.source, after.items.slice(0, 4)]).toEqual(["model", shown.slice(0, 4)]);
  expect(after.entries[1]).toMatchObject({ suppressed: "dismissed", constraints: ["frozen", "suppressed"] });
  reranker.dispose();
});

test("a trap of one reranker changes no bit of another", async () => {
  const module = await WebAssembly.compile(trapping(wasm(), "engine_signals"));
  const [one, other] = [createReranker<Candidate>({ bundle: bundle(), wasm: module }), createReranker<Candidate>({ bundle: bundle(), wasm: module })];
  await Promise.all([one.ready, other.ready]);
  const session = other.session();
  const list = session.prepare(asked);
  const before = order(list.rerank({ now }));
  for (let at = 0; at < 3; at++) {
    one.session().signals();
    await rebuilt();
  }
  expect(one.status.reason).toBe("trapped");
  expect(other.status.reason).toBeNull();
  expect(order(list.rerank({ now }))).toEqual(before);
  for (const event of events()) session.observe(event);
  expect(order(list.rerank({ now }))).not.toEqual(before);
  one.dispose();
  other.dispose();
});

test("traps that repeat open a breaker: three in a minute", async () => {
  const clock = { now };
  const seen: (string | null)[] = [];
  const reranker = createReranker<Candidate>({
    bundle: bundle(),
    wasm: trapping(wasm(), "engine_rerank"),
    clock: () => clock.now,
    onStatus: ({ reason }) => seen.push(reason),
  });
  await reranker.ready;
  const list = reranker.session().prepare(asked);
  for (let at = 0; at < 4; at++) {
    const ranking = list.rerank();
    expect([ranking.source, ranking.reason]).toEqual(["server", "trapped"]);
    expect(ranking.items).toEqual(asked.candidates);
    await rebuilt();
    clock.now += 61_000;
  }
  // Far apart they do not count together: each is followed by a new engine.
  expect(seen).toEqual([null, "trapped", null, "trapped", null, "trapped", null, "trapped", null]);
  clock.now += 61_000;
  for (let at = 0; at < 5; at++) {
    expect(list.rerank().reason).toBe("trapped");
    await rebuilt();
  }
  expect(seen.slice(9)).toEqual(["trapped", null, "trapped", null, "trapped"]);
  expect(reranker.status.detail).toContain("too often");
  reranker.dispose();
});

test("a journal that was shortened counts every event once", async () => {
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_signals"), maxEvents: 2 });
  await reranker.ready;
  const session = reranker.session();
  for (let at = 0; at < 7; at++) session.observe({ type: "search", value: "budget", time: now });
  const snapshot = session.snapshot();
  session.signals();
  await rebuilt();
  expect(session.snapshot()).toBe(snapshot);
  reranker.dispose();
});

test("a clock that throws changes nothing of it", async () => {
  let broken = false;
  const clock = () => {
    if (broken) throw new Error("no time");
    return now;
  };
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_rerank"), clock });
  await reranker.ready;
  const list = reranker.session().prepare(asked);
  broken = true;
  expect(list.rerank()).toMatchObject({ source: "server", reason: "trapped" });
  expect(reranker.status).toMatchObject({ source: "server", reason: "trapped" });
  for (let at = 0; at < 3; at++) {
    await rebuilt();
    expect(list.rerank().reason).toBe("trapped");
  }
  expect(reranker.status.detail).toContain("too often");
  reranker.dispose();
});

const DISMISSED = { type: "dismiss", key: asked.candidates[0]!.key, time: now };

/** A snapshot of an engine, with a dismissal in it. */
async function snapshotOf(): Promise<string> {
  const reranker = createReranker<Candidate>({ bundle: bundle() });
  await reranker.ready;
  const session = reranker.session();
  session.observe(DISMISSED);
  const snapshot = session.snapshot()!;
  reranker.dispose();
  return snapshot;
}

const first = ({ entries }: Ranking<Candidate>) => entries.find(({ serverRank }) => serverRank === 1)!;

test("a snapshot that stops the engine is dropped, its dismissals are kept, and nobody else notices", async () => {
  const snapshot = await snapshotOf();
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_restore") });
  await reranker.ready;
  const victim = reranker.session().prepare(asked);
  for (let at = 0; at < 5; at++) {
    const session = reranker.session({ snapshot });
    const list = session.prepare(asked);
    expect(first(list.rerank({ now }))).toMatchObject({ suppressed: "dismissed" });
    await rebuilt();
    expect(session.observe({ type: "open", key: "k", time: now }).accepted).toBe(true);
    const ranking = list.rerank({ now });
    expect([ranking.source, session.restored, first(ranking).suppressed]).toEqual(["model", false, "dismissed"]);
    expect(victim.rerank({ now }).source).toBe("model");
  }
  reranker.dispose();
});

test("events that stop every engine: their session alone stays on server order", async () => {
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_observe") });
  const session = reranker.session();
  expect(session.observe(DISMISSED).accepted).toBe(true);
  await reranker.ready;
  const [list, victim] = [session.prepare(asked), reranker.session().prepare(asked)];
  for (let at = 0; at < 5; at++) {
    list.rerank({ now });
    await rebuilt();
  }
  const ranking = list.rerank({ now });
  expect([ranking.source, ranking.reason, first(ranking).suppressed]).toEqual(["server", "trapped", "dismissed"]);
  expect(session.observe({ ...DISMISSED, type: "undo" })).toEqual({ accepted: true, due: true, reason: null });
  expect(first(list.rerank({ now })).suppressed).toBeNull();
  expect(victim.rerank({ now })).toMatchObject({ source: "model", reason: null });
  expect(reranker.status.source).toBe("model");
  session.forget();
  expect(list.rerank({ now }).source).toBe("model");
  reranker.dispose();
});

test("a context from outside that stops the engine in use: the session without it, and then without an engine", async () => {
  const snapshot = await snapshotOf();
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_signals") });
  await reranker.ready;
  const session = reranker.session({ snapshot });
  const [list, victim] = [session.prepare(asked), reranker.session().prepare(asked)];
  const seen = [];
  for (let at = 0; at < 5; at++) {
    session.signals();
    await rebuilt();
    seen.push([list.rerank({ now }).source, session.restored, victim.rerank({ now }).source]);
  }
  const alone = ["server", false, "model"];
  expect(seen).toEqual([["model", true, "model"], ["model", false, "model"], alone, alone, alone]);
  expect(first(list.rerank({ now })).suppressed).toBe("dismissed");
  reranker.dispose();
});

test("an event that traps is not kept, and nothing throws", async () => {
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_observe") });
  await reranker.ready;
  const session = reranker.session();
  const list = session.prepare(asked);
  expect(session.observe({ type: "open", candidate: asked.candidates[0]!.id, time: now })).toEqual({ accepted: false, due: false, reason: "trapped" });
  await rebuilt();
  expect(list.rerank({ now }).source).toBe("model");
  reranker.dispose();
});

test("a trap while a response is taken in: the list is whole and goes into the next engine, or stays on server order", async () => {
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_prepare") });
  await reranker.ready;
  const list = reranker.session().prepare(asked);
  expect(list.rerank({ now })).toMatchObject({ source: "server", reason: "trapped" });
  await rebuilt();
  expect(list.rerank({ now }).items).toEqual(asked.candidates);
  reranker.dispose();
});

test("a runtime that traps while it opens the bundle", async () => {
  const reranker = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_new") });
  expect((await reranker.ready).reason).toBe("trapped");
  expect(reranker.session().prepare(asked).rerank().items).toEqual(asked.candidates);
  await expect(createScorer({ bundle: bundle(), wasm: trapping(wasm("scorer"), "engine_new") })).rejects.toMatchObject({ code: "trapped" });
});

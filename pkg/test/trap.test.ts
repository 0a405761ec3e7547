// Traps, provoked in the real runtime: one exported function's body is replaced by `unreachable`.
import { createReranker, createScorer, type Ranking } from "ranklet";
import { expect, test } from "vitest";
import { bundle, events, request, wasm, type Candidate } from "./fixtures.js";
import { trapping } from "./sabotage.js";

const asked = request();
const { now } = asked;

const order = ({ entries }: Ranking<Candidate>) => entries.map(({ id, score, utility, suppressed }) => [id, score, utility, suppressed]);

/** Past the microtask in which a new engine is made. */
const rebuilt = () => new Promise((done) => setTimeout(done, 0));

test("after a trap: server order, then a new engine that knows all the old one knew", async () => {
  const clock = { now: 0 };
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
  await expect(createScorer({ bundle: bundle(), wasm: trapping(wasm(), "engine_new") })).rejects.toMatchObject({ code: "trapped" });
});

// What a session knows in every state of the engine, and what it takes in.
import { createReranker, type LocalEvent, type Reranker, type Session } from "ranklet";
import { readDecision } from "ranklet/records";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle, events, request, type Candidate } from "./fixtures.js";

const asked = request();
const now = asked.now;
const clock = () => now;
let loaded: Reranker<Candidate>;
let loading: Reranker<Candidate>;
let down: Reranker<Candidate>;
let off: Reranker<Candidate>;

beforeAll(async () => {
  loaded = createReranker({ bundle: bundle(), clock });
  loading = createReranker({ bundle: new Promise(() => undefined), clock });
  down = createReranker({ bundle: bundle().subarray(0, 500), clock });
  off = createReranker({ bundle: "", enabled: false, clock });
  await Promise.all([loaded.ready, down.ready, off.ready]);
});

afterAll(() => [loaded, loading, down, off].forEach((reranker) => reranker.dispose()));

const [a, b, c] = asked.candidates as [Candidate, Candidate, Candidate];

const marks = (session: Session<Candidate>, at = now) => {
  const { entries } = session.prepare(asked).rerank({ now: at });
  return [a, b, c].map(({ id }) => entries.find((entry) => entry.id === id)!.suppressed);
};

const HIDING: LocalEvent[] = [
  { type: "dismiss", key: a.key, time: now - 9 },
  { type: "snooze", key: b.key, time: now - 8, value: 60_000 },
  { type: "dismiss", key: c.key, time: now - 7 },
  { type: "undo", key: c.key, time: now - 6 },
];

test("a snapshot taken in any state carries dismissals and snoozes into any other", () => {
  const all = [loaded, loading, down, off];
  for (const [from, first] of all.entries()) {
    const session = first.session();
    expect(session.snapshot() === null).toBe(first !== loaded);
    for (const event of HIDING) expect(session.observe(event).accepted).toBe(true);
    for (const [to, second] of all.entries()) {
      const heir = second.session({ snapshot: session.snapshot() });
      expect([from, to, ...marks(heir)]).toEqual([from, to, "dismissed", "snoozed", null]);
      expect(marks(heir, now + 60_000)).toEqual(["dismissed", null, null]);
      heir.observe({ type: "undo", key: a.key, time: now });
      expect(marks(loaded.session({ snapshot: heir.snapshot() }))).toEqual([null, "snoozed", null]);
      expect(marks(off.session({ snapshot: heir.snapshot() }))).toEqual([null, "snoozed", null]);
    }
    session.dispose();
    expect(session.snapshot()).toContain(a.key);
  }
});

test("a snapshot taken while loading carries every event; one with an engine's context inside keeps that to the bit", () => {
  const signals = (session: Session<Candidate>) => session.signals({ surface: "ads_manager", now });
  const recorded = events();
  const whole = loaded.session();
  for (const event of recorded) whole.observe(event);
  const [early, late] = [recorded.slice(0, 4), recorded.slice(4)];
  expect(late.length).toBeGreaterThan(0);

  const queue = loading.session();
  for (const event of recorded) queue.observe(event);
  const restored = loaded.session({ snapshot: queue.snapshot() });
  expect(restored.restored).toBe(true);
  expect(signals(restored)).toEqual(signals(whole));

  const half = loaded.session();
  for (const event of early) half.observe(event);
  const between = loading.session({ snapshot: half.snapshot() });
  expect(between.restored).toBeNull();
  for (const event of late) between.observe(event);
  const both = loaded.session({ snapshot: loading.session({ snapshot: between.snapshot() }).snapshot() });
  expect([both.restored, signals(both)]).toEqual([true, signals(whole)]);
  expect(both.snapshot()).toBe(whole.snapshot());
});

test("a snapshot with anything in it", () => {
  const texts = ["", "{", "null", "7", "[]", "{}", '{"pending":{}}', '{"pending":[null,7,{},{"type":"dismiss"}]}', '{"pending":[],"engine":7}', '{"pending":[],"engine":"{"}', '{"actions":7}', '{"actions":{"k":null}}'];
  for (const snapshot of texts) {
    for (const reranker of [loaded, loading, down]) {
      const session = reranker.session({ snapshot });
      expect(session.observe(HIDING[0]!).accepted).toBe(true);
      expect(marks(session)).toEqual(["dismissed", null, null]);
      expect(marks(reranker.session({ snapshot: session.snapshot() }))).toEqual(["dismissed", null, null]);
    }
  }
});

test("what no engine will ever take is kept within bounds", () => {
  const small = createReranker<Candidate>({ bundle: "", enabled: false, maxEvents: 3, clock }).session();
  for (let at = 0; at < 10; at++) small.observe({ type: "open", key: `o${at}`, time: now });
  expect(small.snapshot()).toBeNull();
  for (let at = 0; at < 10; at++) small.observe({ type: "dismiss", key: `k${at}`, time: now });
  expect(small.snapshot()!.match(/"k\d"/g)).toEqual(['"k7"', '"k8"', '"k9"']);
});

test("an event cannot be ahead of the clock", () => {
  const YEAR = 365 * 86_400_000;
  const signals = (time: number) => {
    const session = loaded.session();
    session.observe({ type: "open", key: a.key, surface: "ads_manager", time });
    session.observe({ type: "search", value: "budget", time: now });
    return session.signals({ surface: "ads_manager", now });
  };
  expect(signals(now + YEAR)).toEqual(signals(now));
  for (const reranker of [loaded, loading, down]) {
    const session = reranker.session();
    session.observe({ type: "dismiss", key: a.key, time: now + YEAR });
    expect(marks(session, now + YEAR)).toEqual([null, null, null]);
    session.observe({ type: "undo", key: a.key, time: now });
    expect(marks(session)).toEqual([null, null, null]);
  }
});

test("what an engine would refuse is refused without one, and what it would take is taken", () => {
  const key = "k";
  const kinds = ["impression", "open", "accept", "dismiss", "snooze", "dwell", "undo"];
  const wrong = [
    { type: "hover", key }, { type: "edit" }, { type: "edit", field: 7 }, { type: "search", time: Infinity }, { type: "search", time: "5" },
    ...["id", "key", "candidate", "candidate_type", "surface", "field"].map((name) => ({ type: "undo", key, [name]: "ä".repeat(257) })),
    ...kinds.map((type) => ({ type })), ...kinds.slice(0, -1).map((type) => ({ type, field: "budget" })),
  ];
  const right = [
    ...kinds.map((type) => ({ type, key })), ...kinds.map((type) => ({ type, candidate: a.id })),
    { type: "undo", field: "budget" }, { type: "undo", key: "ä".repeat(256) }, { type: "search", value: "ä".repeat(1000) }, { type: "edit", field: "" }, { type: "navigate" }, { type: "search" },
  ];
  for (const reranker of [loaded, loading, down, off]) {
    const session = reranker.session();
    for (const event of wrong) {
      expect([event, session.observe(event as never)]).toEqual([event, { accepted: false, due: false, reason: "request_invalid" }]);
    }
    for (const event of right) expect([event, session.observe(event as never).accepted]).toEqual([event, true]);
  }
});

test("server order tells its constraints, the engine's and the face's own alike", () => {
  for (const [reranker, candidates] of [[loaded, [{ ...a, value: Infinity }, b, c]], [loading, [a, b, c]]] as const) {
    const session = reranker.session();
    const list = session.prepare({ ...asked, candidates: candidates as never });
    for (const event of HIDING) session.observe(event);
    const ranking = list.rerank({ now, frozen: 1 });
    expect([ranking.source, ranking.reason]).toEqual(["server", reranker === loaded ? "score_not_finite" : "loading"]);
    expect(ranking.entries.map(({ constraints }) => constraints)).toEqual([["frozen", "suppressed"], ["suppressed"], []]);
    expect(readDecision(ranking.record()!).items.map(({ constraints }) => constraints)).toEqual(ranking.entries.map(({ constraints }) => constraints));
    expect(list.rerank({ now, frozen: [c.id] }).entries.map(({ constraints }) => constraints)).toEqual([["suppressed"], ["suppressed"], ["frozen"]]);
  }
});

const HALVES = ["\ud83d", "\ude00"] as const;

function halves(ids: readonly string[], type: string | null = null) {
  const candidates = ids.map((id, at) => ({ ...asked.candidates[at]!, id, key: id, ...(type === null ? {} : { type, features: { related: HALVES } }) }));
  return loaded.session().prepare({ ...asked, candidates }).rerank({ now });
}

test("texts that are not well formed", () => {
  expect(halves([`a${HALVES[0]}`, `${HALVES[1]}b`], HALVES[0])).toMatchObject({ source: "model", reason: null });
  // Both become U+FFFD, as everywhere in the engine.
  expect(halves(HALVES).reason).toBe("request_invalid");
  expect(halves(["\u{1f600}", "x"]).entries.map(({ id }) => id).sort()).toEqual(["x", "\u{1f600}"].sort());
  // Where the platform has no function for it.
  const { toWellFormed } = String.prototype as { toWellFormed?: unknown };
  Object.defineProperty(String.prototype, "toWellFormed", { value: undefined, configurable: true, writable: true });
  try {
    expect(halves([`a${HALVES[0]}`, `${HALVES[1]}\u{1f600}`]).entries.map(({ id }) => id).sort()).toEqual(["a\ufffd", "\ufffd\u{1f600}"]);
  } finally {
    Object.defineProperty(String.prototype, "toWellFormed", { value: toWellFormed, configurable: true, writable: true });
  }
});

test("a key of any characters is the same in the engine: as long in bytes as in units, longer, or none", () => {
  for (const key of ["\u00e9a", "a\u00e9", "\u20acabc", "\u{1f600}", "\u{1f600}\u00e9ab", "plain"]) {
    const session = loaded.session();
    expect(session.observe({ type: "open", key, candidate_type: `${key}!`, time: now - 9 }).accepted).toBe(true);
    const known = JSON.parse(session.snapshot()!) as object;
    expect(JSON.stringify(known)).toContain(JSON.stringify(key));
    expect(session.signals({ candidate: key, now })["local.key.open.10m"]).toBeGreaterThan(0.9);
    expect(session.signals({ candidate: key.slice(0, 1), now })["local.key.open.10m"]).toBe(0);
    session.dispose();
  }
});

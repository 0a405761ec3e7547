// The answers that the design defines: what is a ranking of the model, what is not, and what either looks like.
import { createReranker, type Entry, type Reranker } from "ranklet";
import { readDecision } from "ranklet/records";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle, events, request, type Candidate } from "./fixtures.js";

let reranker: Reranker<Candidate>;
const asked = request();
const now = asked.now;

beforeAll(async () => {
  reranker = createReranker<Candidate>({ bundle: bundle() });
  expect((await reranker.ready).reason).toBeNull();
});

afterAll(() => reranker.dispose());

const rank = (candidates: readonly Candidate[], frozen?: number) =>
  reranker.session().prepare({ ...asked, candidates }).rerank({ now, frozen: frozen ?? null });

const many = (n: number): Candidate[] =>
  Array.from({ length: n }, (_, at) => ({ ...asked.candidates[at % asked.candidates.length]!, id: `c${at}`, key: `k${at}` }));

test("an empty list and one candidate: model", () => {
  expect(rank([])).toMatchObject({ source: "model", items: [] });
  const [one] = asked.candidates;
  const ranking = rank([one!]);
  expect(ranking.source).toBe("model");
  expect(ranking.items[0]).toBe(one);
});

test("a full permutation of the caller's own objects, none of them changed", () => {
  const frozen = structuredClone(asked.candidates).map((candidate) => deepFreeze(candidate));
  const before = JSON.stringify(frozen);
  const { items, source, entries } = rank(frozen);
  expect(source).toBe("model");
  expect(new Set(items)).toEqual(new Set(frozen));
  expect(items.every((item) => frozen.includes(item))).toBe(true);
  expect(JSON.stringify(frozen)).toBe(before);
  entries.forEach((entry, place) => {
    expect(entry.item).toBe(items[place]);
    expect(entry.item).toBe(frozen[entry.serverRank - 1]);
    expect([entry.rank, entry.id, entry.key]).toEqual([place + 1, entry.item.id, entry.item.key]);
    expect(entry.score).toBeGreaterThan(0);
    expect(entry.heads["accept"]!.calibrated).toBe(entry.score);
    expect(entry.propensity).toBe(1);
  });
  const utilities = entries.map((entry) => entry.utility!);
  expect([...utilities].sort((a, b) => b - a)).toEqual(utilities);
});

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) Object.values(value).forEach(deepFreeze);
  return Object.freeze(value);
}

test("the model's order is not the server's, and the events change it", () => {
  const session = reranker.session();
  const list = session.prepare(asked);
  const before = list.rerank({ now });
  expect(before.items).not.toEqual(asked.candidates);
  for (const event of events()) expect(session.observe(event).accepted).toBe(true);
  const after = list.rerank({ now });
  expect(after.entries.map(({ score }) => score)).not.toEqual(before.entries.map(({ score }) => score));
  expect(after.items).not.toEqual(before.items);
});

test("rowsRun: every candidate at first, none where nothing changed, none in server order", () => {
  const session = reranker.session();
  const list = session.prepare(asked);
  const n = asked.candidates.length;
  expect([list.rerank({ now }).rowsRun, list.rerank({ now }).rowsRun]).toEqual([n, 0]);
  session.observe({ type: "search", value: "budget", time: now });
  expect(list.rerank({ now }).rowsRun).toBeGreaterThan(0);
  session.dispose();
  expect(list.rerank({ now }).rowsRun).toBe(0);
});

test("duplicate ids: server order, request_invalid; a number and its text are one id", () => {
  const [one, two] = asked.candidates as [Candidate, Candidate];
  for (const twice of [[one, two, { ...two, id: one.id }], [{ ...one, id: 7 as never }, { ...two, id: "7" }]]) {
    const ranking = rank(twice);
    expect([ranking.source, ranking.reason]).toEqual(["server", "request_invalid"]);
    expect(ranking.items).toEqual(twice);
    expect(ranking.items[1]).toBe(twice[1]);
  }
});

test("ids beyond 2^53 stay exact: BigInt and text, and a number that lost digits is refused", () => {
  const ids = [9007199254740993n, 9007199254740992n, "18446744073709551615", -3, 0n];
  const candidates = ids.map((id, at) => ({ ...asked.candidates[at]!, id: id as never }));
  const { source, entries } = rank(candidates);
  expect(source).toBe("model");
  expect(new Set(entries.map(({ id }) => id))).toEqual(new Set(ids.map(String)));
  expect(rank([{ ...asked.candidates[0]!, id: 2 ** 53 as never }]).reason).toBe("request_invalid");
});

test("missing and NaN features: missing values, still the model, and the same scores", () => {
  const scores = (features: Record<string, unknown>) => {
    const { source, entries } = rank(asked.candidates.map((candidate) => ({ ...candidate, features: { ...candidate.features, ...features } })));
    expect(source).toBe("model");
    return entries.map(({ id, score }) => [id, score]);
  };
  const missing = scores({ uplift: undefined });
  for (const nothing of [null, NaN, "not a number", {}, [], Symbol("x")]) expect(scores({ uplift: nothing })).toEqual(missing);
  expect(rank(asked.candidates.map(({ id }) => ({ id }) as Candidate)).source).toBe("model");
});

test("a score that is not finite: score_not_finite", () => {
  const [first, ...rest] = asked.candidates;
  const ranking = rank([{ ...first!, value: Infinity } as Candidate, ...rest]);
  expect([ranking.source, ranking.reason]).toEqual(["server", "score_not_finite"]);
  expect(ranking.items.slice(1)).toEqual(rest);
  expect(ranking.entries[0]).toMatchObject({ score: null, heads: {}, utility: null });
});

test("5,000 candidates and 16,384: model; one more: limit_exceeded", () => {
  expect(rank(many(5000)).source).toBe("model");
  expect(rank(many(16_384)).source).toBe("model");
  const ranking = rank(many(16_385));
  expect([ranking.source, ranking.reason]).toEqual(["server", "limit_exceeded"]);
  expect(ranking.items.length).toBe(16_385);
});

test("frozen: a count of the last order, or ids where they stand", () => {
  const session = reranker.session();
  const list = session.prepare(asked);
  const first = list.rerank({ now });
  const lead = first.items.slice(0, 3);
  session.observe({ type: "dismiss", candidate: lead[1]!.id, time: now });
  const counted = list.rerank({ now, frozen: 3 });
  expect(counted.items.slice(0, 3)).toEqual(lead);
  expect(counted.entries[1]).toMatchObject({ suppressed: "dismissed", constraints: expect.arrayContaining(["frozen"]) });
  const last = counted.items.at(-1)!;
  const named = list.rerank({ now, frozen: [last.id, "gone"] });
  expect(named.items.at(-1)).toBe(last);
  expect(named.items.indexOf(lead[1]!)).toBeGreaterThan(2);
  expect(list.rerank({ now, frozen: new Set([last.id]) }).items.at(-1)).toBe(last);
  expect(list.rerank({ now, frozen: 10_000 }).items).toEqual(named.items);
  for (const wrong of [-1, 1.5, NaN, "3", true, () => 3]) {
    expect(list.rerank({ now, frozen: wrong as never }).reason).toBe("request_invalid");
  }
  expect(list.rerank({ now, frozen: 2 }).items.slice(0, 2)).toEqual(asked.candidates.slice(0, 2));
});

test("server order after a first ranking: frozen items where they stand, then the server's", () => {
  const session = reranker.session();
  const list = session.prepare(asked);
  const [first, second] = list.rerank({ now }).items as [Candidate, Candidate];
  session.dispose();
  const ranking = list.rerank({ now, frozen: 2 });
  expect(ranking.reason).toBe("stale_list");
  expect(ranking.items.slice(0, 2)).toEqual([first, second]);
  expect(ranking.items.slice(2)).toEqual(asked.candidates.filter((item) => item !== first && item !== second));
  expect(list.rerank({ now }).items).toEqual(asked.candidates);
});

test("prepared while loading: server order first, the model at the next rerank, what is frozen stays", async () => {
  const late = createReranker<Candidate>({ bundle: bundle() });
  const session = late.session();
  const candidates = structuredClone(asked.candidates) as Candidate[];
  const list = session.prepare({ ...asked, candidates });
  for (const event of events()) expect(session.observe(event).accepted).toBe(true);
  expect(list.rerank({ now })).toMatchObject({ source: "server", reason: "loading" });
  // Values count as they were at `prepare`.
  for (const candidate of candidates) candidate.features["uplift"] = 1e9;
  let due = 0;
  list.subscribe(() => (due += 1));
  await late.ready;
  await Promise.resolve();
  expect(due).toBe(1);
  const frozen = list.rerank({ now, frozen: 2 });
  expect(frozen.source).toBe("model");
  expect(frozen.items.slice(0, 2)).toEqual(candidates.slice(0, 2));
  const ranking = list.rerank({ now });
  const early = reranker.session();
  const same = early.prepare(asked);
  for (const event of events()) early.observe(event);
  expect(ranks(ranking.entries)).toEqual(ranks(same.rerank({ now }).entries));
  late.dispose();
});

const ranks = (entries: Entry<Candidate>[]) => entries.map(({ id, score, utility, heads }) => [id, score, utility, heads]);

test("dismissed and snoozed stay marked in both orders, undo lifts, time ends it", async () => {
  const off = createReranker<Candidate>({ bundle: "", enabled: false });
  await off.ready;
  for (const one of [reranker, off]) {
    const session = one.session();
    const list = session.prepare(asked);
    const [a, b, c] = asked.candidates as [Candidate, Candidate, Candidate];
    const marks = (at = now) => {
      const { entries } = list.rerank({ now: at });
      return [a, b, c].map((item) => entries.find((entry) => entry.item === item)!.suppressed);
    };
    expect(session.observe({ type: "dismiss", candidate: a.id, time: now, reason: "not_now" })).toMatchObject({ accepted: true, due: true });
    session.observe({ type: "snooze", key: b.key, time: now, value: 60_000 });
    expect(marks()).toEqual(["dismissed", "snoozed", null]);
    expect(marks(now + 60_000)).toEqual(["dismissed", null, null]);
    session.observe({ type: "undo", candidate: a.id, time: now + 1 });
    session.observe({ type: "dismiss", candidate: a.id, time: now - 1 });
    expect(marks(now + 1)).toEqual([null, "snoozed", null]);
  }
});

test("a snapshot carries the context to another session", async () => {
  const session = reranker.session({ key: "u" });
  const list = session.prepare(asked);
  for (const event of events()) session.observe(event);
  session.observe({ type: "dismiss", candidate: asked.candidates[0]!.id, time: now });
  const ranking = list.rerank({ now });
  const snapshot = session.snapshot();
  const other = reranker.session({ key: "u", snapshot });
  expect(other.restored).toBe(true);
  expect(ranks(other.prepare(asked).rerank({ now }).entries)).toEqual(ranks(ranking.entries));
  const off = createReranker<Candidate>({ bundle: "", enabled: false }).session({ snapshot });
  expect(off.prepare(asked).rerank({ now }).entries[0]!.suppressed).toBe("dismissed");
  expect(off.prepare(asked).rerank({ now: now + 31 * 86_400_000 }).entries[0]!.suppressed).toBeNull();
  expect(off.snapshot()).toBe(snapshot);
  expect(reranker.session({ snapshot: "{}" }).restored).toBe(false);
  other.forget();
  expect(ranks(other.prepare(asked).rerank({ now }).entries)).toEqual(ranks(reranker.session().prepare(asked).rerank({ now }).entries));
});

test("append, update and subscribe", async () => {
  const session = reranker.session();
  const head = asked.candidates.slice(0, 5);
  const list = session.prepare({ ...asked, candidates: head });
  let due = 0;
  const stop = list.subscribe(() => (due += 1));
  list.rerank({ now });
  list.append(asked.candidates.slice(5));
  await Promise.resolve();
  expect(due).toBe(1);
  expect(ranks(list.rerank({ now }).entries)).toEqual(ranks(session.prepare(asked).rerank({ now }).entries));
  const facts = { ...asked.facts, campaign: { strategy: "target_cpa", daily_budget: 1 } };
  list.update(facts);
  expect(ranks(list.rerank({ now }).entries)).toEqual(ranks(session.prepare({ ...asked, facts }).rerank({ now }).entries));
  session.observe({ type: "open", candidate: head[0]!.id, time: now });
  session.observe({ type: "open", candidate: head[1]!.id, time: now });
  await Promise.resolve();
  // Several causes of one moment are told once.
  expect(due).toBe(2);
  stop();
  list.append([{ ...head[0]!, id: {} as never }]);
  const ranking = list.rerank({ now });
  expect(ranking.reason).toBe("request_invalid");
  expect(ranking.items).toEqual([...asked.candidates, { ...head[0]!, id: {} }]);
  await Promise.resolve();
  expect(due).toBe(2);
});

test("accessors fit the caller's own type", async () => {
  interface Mine {
    uuid: bigint;
    inner: Candidate;
  }
  const mine = asked.candidates.map((inner, at): Mine => ({ uuid: BigInt(at) + 2n ** 60n, inner }));
  const own = createReranker<Mine>({
    bundle: bundle(),
    id: "uuid",
    key: ({ inner }) => inner.key,
    type: (item) => item.inner.type,
    features: (item) => item.inner.features,
    serverScore: (item) => item.inner.server_score,
  });
  await own.ready;
  const ranking = own.session().prepare({ ...asked, candidates: mine }).rerank({ now });
  const plain = reranker.session().prepare(asked).rerank({ now });
  expect(ranking.items.map(({ inner }) => inner)).toEqual(plain.items);
  expect(ranking.entries[0]!.id).toBe(String(ranking.items[0]!.uuid));
  own.dispose();
});

test("a record of the last decision, and of the face's own", async () => {
  const list = reranker.session().prepare({ ...asked, list_id: "home" });
  const first = list.rerank({ now });
  const bytes = first.record()!;
  const record = readDecision(bytes);
  expect(record).toMatchObject({ source: "model", reason: null, decision_id: asked.decision_id, list_id: "home", now, seed: null });
  expect(record.digests!.bundle).toMatch(/^[0-9a-f]{64}$/);
  expect(record.items.map(({ id }) => id)).toEqual(first.entries.map(({ id }) => id));
  list.rerank({ now });
  expect(first.record()).toBe(bytes);
  const other = list.rerank({ now });
  list.rerank({ now });
  expect(other.record()).toBeNull();
  list.dispose();
  expect(readDecision(list.rerank({ now }).record()!)).toMatchObject({ source: "server", reason: "disposed", items: { length: asked.candidates.length } });
});

test("events: what is refused, and counted once", () => {
  const session = reranker.session();
  for (const wrong of [null, 7, {}, { type: "" }, { type: "yawn", key: "k", time: now }, { type: "open", time: now }, { type: "open", key: "k", time: NaN }, { type: "open", key: {}, time: now }]) {
    expect(session.observe(wrong as never)).toEqual({ accepted: false, due: false, reason: "request_invalid" });
  }
  expect(session.observe({ id: 1n, type: "open", key: "k", time: now })).toEqual({ accepted: true, due: true, reason: null });
  expect(session.observe({ id: "1", type: "open", key: "k", time: now })).toMatchObject({ accepted: true, due: false });
  expect(session.signals({ now })["local.session.events"]).toBe(1);
});

test("the queue of events is bounded while there is no engine, and not after", async () => {
  const small = createReranker<Candidate>({ bundle: bundle(), maxEvents: 3 });
  const session = small.session();
  const seen = Array.from({ length: 5 }, () => session.observe({ type: "search", value: "budget", time: now }));
  expect(seen.map(({ accepted }) => accepted)).toEqual([true, true, true, false, false]);
  expect(seen[4]!.reason).toBe("limit_exceeded");
  await small.ready;
  expect(session.signals({ now })["local.session.events"]).toBe(3);
  for (let at = 0; at < 10; at++) expect(session.observe({ type: "search", value: "budget", time: now }).accepted).toBe(true);
  expect(session.signals({ now })["local.session.events"]).toBe(13);
  small.dispose();
  const off = createReranker<Candidate>({ bundle: "", enabled: false, maxEvents: 3 }).session();
  for (let at = 0; at < 10; at++) expect(off.observe({ type: "dismiss", key: `k${at}`, time: now })).toMatchObject({ accepted: true, due: true });
});

test("`using` disposes", async () => {
  const own = createReranker<Candidate>({ bundle: bundle() });
  await own.ready;
  const session = own.session();
  const list = session.prepare(asked);
  list[Symbol.dispose]();
  expect(list.rerank().reason).toBe("disposed");
  const other = session.prepare(asked);
  session[Symbol.dispose]();
  expect(other.rerank().reason).toBe("stale_list");
  own[Symbol.dispose]();
  expect(own.status.reason).toBe("disposed");
});

// What a page's own unit tests use: a clock that stands, failures on demand, an order that is scripted, and the real runtime.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createReranker as createReal, type Ranking } from "ranklet";
import { readDecision } from "ranklet/records";
import { createReranker, type TestReranker } from "ranklet/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { bundle, dist, events, request, type Candidate } from "./fixtures.js";

const asked = request();
const { now } = asked;
const serverIds = asked.candidates.map(({ id }) => id);
const ids = ({ entries }: Ranking<Candidate>) => entries.map(({ id }) => id);
const soon = () => new Promise((done) => setTimeout(done, 0));
let reranker: TestReranker<Candidate>;

beforeAll(async () => {
  reranker = createReranker<Candidate>({ bundle: bundle(), now });
  expect((await reranker.ready).reason).toBeNull();
});

beforeEach(() => {
  reranker.reason = null;
  reranker.order = null;
  reranker.now = now;
});

afterAll(() => reranker.dispose());

test("untouched it is the package's own, to the bit", async () => {
  const real = createReal<Candidate>({ bundle: bundle(), clock: () => now });
  await real.ready;
  const records = [reranker, real].map((one) => {
    const session = one.session();
    const list = session.prepare(asked);
    for (const event of events()) session.observe(event);
    return list.rerank({ frozen: 2 }).record();
  });
  expect(records[0]).toEqual(records[1]);
  real.dispose();
});

test("it stands in for the whole package where that is mocked", async () => {
  const [mocked, real] = await Promise.all([import("ranklet/testing"), import("ranklet")]);
  expect(Object.keys(mocked)).toEqual(Object.keys(real));
});

test("the clock stands until the test moves it", () => {
  const session = reranker.session();
  const list = session.prepare(asked);
  session.observe({ type: "snooze", candidate: serverIds[0]!, value: 60_000 });
  const mark = () => list.rerank().entries.find(({ id }) => id === serverIds[0])!.suppressed;
  expect(mark()).toBe("snoozed");
  reranker.advance(59_999);
  expect(mark()).toBe("snoozed");
  reranker.advance(1);
  expect([mark(), readDecision(list.rerank().record()!).now]).toEqual([null, now + 60_000]);
  expect(createReranker({ bundle: bundle() }).now).toBe(Date.UTC(2026, 0, 1));
});

const reasons = [...readFileSync(join(dist, "types/reasons.d.ts"), "utf8").matchAll(/^ *type KnownReason|"(\w+)"/g)].map(([, reason]) => reason!);

test("there are reasons to try", () => {
  expect(reasons.length).toBeGreaterThan(20);
});

test.each([...reasons, "of_a_later_version"])("%s: server order for this reason, what is frozen and marked kept, and back", async (reason) => {
  const session = reranker.session();
  const list = session.prepare(asked);
  for (const event of events()) session.observe(event);
  const before = list.rerank();
  session.observe({ type: "dismiss", candidate: before.items[1]!.id });
  const seen: unknown[] = [];
  list.subscribe(() => seen.push(list.rerank({ frozen: 3 }).source));
  reranker.reason = reason;
  const ranking = list.rerank({ frozen: 2 });
  expect([ranking.source, ranking.reason, ranking.items.slice(0, 2)]).toEqual(["server", reason, before.items.slice(0, 2)]);
  expect(ranking.entries[1]).toMatchObject({ suppressed: "dismissed", constraints: ["frozen", "suppressed"] });
  expect(list.rerank().items).toEqual(asked.candidates);
  expect(["model", "server"]).toContain(reranker.status.source);
  if (reranker.status.source === "server") expect(reranker.status.reason).toBe(reason);
  expect(reranker.session().prepare(asked).rerank().reason).toBe(reason);
  // What happens meanwhile counts once it is over.
  expect(session.observe({ type: "dismiss", candidate: before.items[2]!.id })).toMatchObject({ accepted: true, due: true });
  await soon();
  expect(seen.splice(0)).toEqual(["server"]);
  reranker.reason = null;
  await soon();
  expect(seen).toEqual(["model"]);
  const twin = reranker.session();
  const same = twin.prepare(asked);
  for (const event of events()) twin.observe(event);
  for (const item of before.items.slice(1, 3)) twin.observe({ type: "dismiss", candidate: item.id });
  expect(list.rerank().entries).toEqual(same.rerank().entries);
});

test("from the start, with the status that a page is told", async () => {
  const told: (string | null)[] = [];
  const own = createReranker<Candidate>({ bundle: bundle(), now, reason: "bundle_fetch_failed", onStatus: ({ reason }) => told.push(reason) });
  const list = own.session().prepare(asked);
  expect(list.rerank().reason).toBe("bundle_fetch_failed");
  expect(await own.ready).toMatchObject({ source: "server", reason: "bundle_fetch_failed", bundle: null });
  own.reason = null;
  expect([list.rerank().source, own.status.source]).toEqual(["model", "model"]);
  own.reason = "score_not_finite";
  expect([list.rerank().reason, own.status.source]).toEqual(["score_not_finite", "model"]);
  expect(new Set(told)).toEqual(new Set(["bundle_fetch_failed", null]));
  own.dispose();
});

test("a scripted order: those ids first, the others as the model has them; frozen and appended items as ever", () => {
  const session = reranker.session();
  const list = session.prepare({ ...asked, candidates: asked.candidates.slice(0, 9) });
  const model = ids(list.rerank());
  const wanted = [model[7]!, model[3]!, model[5]!];
  reranker.order = wanted;
  const rest = model.filter((id) => !wanted.includes(id));
  const ranking = list.rerank();
  expect([ranking.source, ids(ranking)]).toEqual(["model", [...wanted, ...rest]]);
  expect(ranking.entries.map(({ rank }) => rank)).toEqual(ranking.items.map((_, at) => at + 1));
  expect(ranking.entries[0]!.heads).not.toEqual({});
  // A scripted order is no decision that could be replayed.
  expect(ranking.record()).toBeNull();
  reranker.order = [model[0]!, "gone", serverIds[10]!];
  list.append(asked.candidates.slice(9));
  expect(ids(list.rerank({ frozen: 2 })).slice(0, 4)).toEqual([wanted[0], wanted[1], model[0], serverIds[10]]);
  session.observe({ type: "dismiss", candidate: model[0]! });
  expect(list.rerank({ frozen: [wanted[1]!] }).entries.slice(0, 2)).toMatchObject([{ id: model[0], suppressed: "dismissed" }, { id: wanted[1] }]);
  reranker.order = null;
  const twin = reranker.session();
  const same = twin.prepare(asked);
  twin.observe({ type: "dismiss", candidate: model[0]! });
  expect(ids(list.rerank())).toEqual(ids(same.rerank()));
});

test("a page's bundle carries none of it", () => {
  for (const entry of ["browser.js", "workerd.js", "scorer-browser.js"]) {
    expect(readFileSync(join(dist, entry), "utf8")).not.toMatch(/set by the test|advance\(/);
  }
  expect(readFileSync(join(dist, "testing-browser.js"), "utf8")).toMatch(/set by the test/);
});

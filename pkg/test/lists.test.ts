// Several lists, surfaces and sessions of one page: pages that are appended, facts that change, who is told and when,
// responses that race, another account, and callers whose own code comes back in.
import { createReranker, type List, type Ranking, type Reranker, type Session } from "ranklet";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundle, events, known, request, wasm, type Candidate } from "./fixtures.js";
import { trapping } from "./sabotage.js";

const asked = request();
const { now } = asked;
const page1 = asked.candidates.slice(0, 6);
const page2 = asked.candidates.slice(6, 9);
const page3 = asked.candidates.slice(9);
const clock = () => now;
let reranker: Reranker<Candidate>;

beforeAll(async () => {
  reranker = createReranker<Candidate>({ bundle: bundle(), clock });
  expect((await reranker.ready).reason).toBeNull();
});

afterAll(() => reranker.dispose());

const bits = ({ entries, source, reason }: Ranking<Candidate>) => [
  source, reason, entries.map(({ id, score, utility, heads, suppressed }) => [id, score, utility, heads, suppressed]),
];
const ids = ({ entries }: Ranking<Candidate>) => entries.map(({ id }) => id);
const replay = (session: Session<Candidate>) => {
  for (const event of events()) expect(session.observe(event).accepted).toBe(true);
};
/** Past the microtask in which listeners are told, and the one in which a new engine is made. */
const soon = () => new Promise((done) => setTimeout(done, 0));

describe("append", () => {
  test("page by page is the whole response at once, to the bit, before and after events", () => {
    const [session, twin] = [reranker.session(), reranker.session()];
    const list = session.prepare({ ...asked, candidates: page1 });
    list.rerank();
    list.append(page2);
    replay(session);
    list.rerank();
    list.append(page3);
    const whole = twin.prepare(asked);
    replay(twin);
    expect(bits(list.rerank())).toEqual(bits(whole.rerank()));
  });

  test("what is visible stays where it is, and a page stands after it", () => {
    const session = reranker.session();
    replay(session);
    const list = session.prepare({ ...asked, candidates: page1 });
    const visible = list.rerank().items;
    expect(visible).not.toEqual(page1);
    list.append(page2);
    const more = list.rerank({ frozen: visible.length });
    expect([more.source, more.items.slice(0, 6)]).toEqual(["model", visible]);
    expect(new Set(more.items.slice(6))).toEqual(new Set(page2));
    list.append(page3);
    // In the server's order too, and from there: an outage between two pages moves nothing on the page.
    const ranking = list.rerank({ frozen: more.items.map(({ id }) => id), now: NaN });
    expect([ranking.source, ranking.items]).toEqual(["server", [...more.items, ...page3]]);
    const after = list.rerank({ frozen: 9 });
    expect([after.source, after.items.slice(0, 9)]).toEqual(["model", more.items]);
  });

  test("what is frozen by the request stays frozen when a page comes", () => {
    const list = reranker.session().prepare({ ...asked, candidates: page1, frozen: 2 });
    list.append(page2);
    expect(list.rerank().items.slice(0, 2)).toEqual(page1.slice(0, 2));
  });

  test("an id that the list holds already is passed over: the first object, its values, one place", () => {
    const session = reranker.session();
    const list = session.prepare({ ...asked, candidates: page1 });
    const again = { ...page1[5]!, features: {}, server_score: 1e9 };
    list.append([again, page2[0]!, page1[0]!, { ...page2[0]!, features: {} }, ...page2.slice(1)]);
    const ranking = list.rerank();
    expect(bits(ranking)).toEqual(bits(reranker.session().prepare({ ...asked, candidates: [...page1, ...page2] }).rerank()));
    expect(ranking.items).not.toContain(again);
    list.append(page1);
    list.append([]);
    expect(bits(list.rerank())).toEqual(bits(ranking));
    // An id is its text: 7, "7" and 7n are one.
    list.append([7, "7", 7n].map((id) => ({ ...page3[0]!, id: id as string })));
    expect(ids(list.rerank()).filter((id) => id === "7")).toHaveLength(1);
  });

  test("what cannot be read stands in the list, in server order, and only that list pays for it", () => {
    const session = reranker.session();
    const [list, other] = [session.prepare({ ...asked, candidates: page1 }), session.prepare({ ...asked, candidates: page1 })];
    const odd = [null, { get id(): string { throw new Error("lazy loading failed"); } }, page2[0]] as Candidate[];
    list.append(odd);
    const ranking = list.rerank();
    expect(ranking).toMatchObject({ source: "server", reason: "request_invalid" });
    expect(ranking.items).toEqual([...page1, ...odd]);
    expect(ids(ranking)).toEqual([...page1.map(({ id }) => id), "", "", page2[0]!.id]);
    list.append(page3);
    expect(list.rerank().items).toEqual([...page1, ...odd, ...page3]);
    expect(other.rerank().source).toBe("model");
    list.append(undefined as never);
    list.append({ length: 3 } as never);
    expect(list.rerank().items).toHaveLength(9 + page3.length);
  });

  test("more than 16,384 in all: limit_exceeded, nothing is lost", () => {
    const many = (n: number, from: string) => Array.from({ length: n }, (_, at) => ({ ...page1[0]!, id: `${from}${at}` }));
    const list = reranker.session().prepare({ ...asked, candidates: many(16_000, "a") });
    list.append(many(384, "b"));
    expect(list.rerank().source).toBe("model");
    list.append(many(1, "c"));
    const ranking = list.rerank();
    expect([ranking.source, ranking.reason, ranking.items.length]).toEqual(["server", "limit_exceeded", 16_385]);
  });

  test("to a list that was disposed, superseded, or whose engine has just stopped", async () => {
    const own = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_append"), clock });
    await own.ready;
    const session = own.session();
    const list = session.prepare({ ...asked, candidates: page1 });
    list.rerank();
    list.append(page2);
    expect(list.rerank()).toMatchObject({ source: "server", reason: "trapped", items: { length: 9 } });
    await soon();
    list.append(page3);
    const ranking = list.rerank();
    // This runtime stops at every append: the list stays whole, in server order.
    expect([ranking.source, ranking.items]).toEqual(["server", asked.candidates]);
    own.dispose();

    const owner = reranker.session();
    const [gone, old] = [owner.prepare({ ...asked, candidates: page1 }), owner.prepare({ ...asked, candidates: page1, list_id: "home" })];
    owner.prepare({ ...asked, list_id: "home", now: now + 1 });
    gone.dispose();
    for (const [one, reason] of [[gone, "disposed"], [old, "superseded"]] as const) {
      one.append(page2);
      const { items, entries, reason: why } = one.rerank();
      expect([why, items]).toEqual([reason, [...page1, ...page2]]);
      expect(entries.map(({ id }) => id)).toEqual(items.map(({ id }) => id));
    }
  });
});

describe("update", () => {
  const campaign = { strategy: "target_cpa", daily_budget: 1 };

  test("facts between re-ranks: as if the request had had them, and back again", () => {
    const session = reranker.session();
    replay(session);
    const list = session.prepare(asked);
    const before = bits(list.rerank());
    const facts = { ...asked.facts, campaign };
    list.update(facts);
    facts.campaign = { strategy: "changed", daily_budget: 9 };
    const changed = bits(list.rerank());
    expect(changed).not.toEqual(before);
    expect(changed).toEqual(bits(session.prepare({ ...asked, facts: { ...asked.facts, campaign } }).rerank()));
    list.update({});
    expect(bits(list.rerank())).toEqual(bits(session.prepare({ ...asked, facts: {} }).rerank()));
    list.update(null as never);
    expect(bits(list.rerank())).toEqual(bits(session.prepare({ ...asked, facts: null }).rerank()));
    list.update(asked.facts!);
    expect(bits(list.rerank())).toEqual(before);
  });

  test("after forget a list takes pages and facts as before", () => {
    const session = reranker.session();
    const list = session.prepare({ ...asked, candidates: page1, facts: null });
    replay(session);
    list.rerank();
    session.forget();
    list.append([...page2, ...page3]);
    list.update(asked.facts!);
    expect(bits(list.rerank())).toEqual(bits(reranker.session().prepare(asked).rerank()));
  });

  test("facts that cannot be read: server order, until others come", () => {
    const list = reranker.session().prepare(asked);
    const before = bits(list.rerank());
    list.update({ account: { get age(): never { throw new Error("not loaded"); } } });
    expect(list.rerank()).toMatchObject({ source: "server", reason: "request_invalid", detail: "not loaded" });
    list.update(asked.facts!);
    expect(bits(list.rerank())).toEqual(before);
  });

  test("pages and facts given before the engine came are all there when it comes", async () => {
    const own = createReranker<Candidate>({ bundle: bundle(), clock });
    const session = own.session();
    const list = session.prepare({ ...asked, candidates: page1, facts: null });
    replay(session);
    list.append([...page2, page1[2]!]);
    list.update({ ...asked.facts, campaign });
    list.append(page3);
    expect(list.rerank()).toMatchObject({ source: "server", reason: "loading", items: asked.candidates });
    await own.ready;
    const twin = reranker.session();
    replay(twin);
    expect(bits(list.rerank())).toEqual(bits(twin.prepare({ ...asked, facts: { ...asked.facts, campaign } }).rerank()));
    own.dispose();
  });
});

describe("subscribe", () => {
  test("later, never inside the call that was the cause, and once for all causes of one moment", async () => {
    const session = reranker.session();
    const list = session.prepare({ ...asked, candidates: page1, list_id: "home" });
    const told: string[] = [];
    let cause = "none";
    list.subscribe(() => told.push(cause));
    const inside = (name: string, act: () => unknown) => {
      cause = `inside ${name}`;
      act();
      cause = `after ${name}`;
    };
    for (const [name, act] of [
      ["observe", () => session.observe({ type: "open", candidate: page1[0]!.id })],
      ["append", () => list.append(page2)],
      ["update", () => list.update({})],
      ["all at once", () => { list.update({}); list.append(page3); session.observe({ type: "dismiss", candidate: page1[1]!.id }); }],
      ["forget", () => session.forget()],
      ["a newer response", () => session.prepare({ ...asked, list_id: "home", now: now + 1 })],
      ["dispose of the session", () => session.dispose()],
    ] as const) {
      inside(name, act);
      await soon();
      expect(told.splice(0)).toEqual([`after ${name}`]);
    }
  });

  test("what changes nothing tells nobody", async () => {
    const session = reranker.session();
    const list = session.prepare(asked);
    let told = 0;
    list.subscribe(() => (told += 1));
    session.observe({ type: "impression", candidate: page1[0]!.id });
    session.observe({ type: "open" });
    session.observe({ type: "open", id: "one", candidate: page1[0]!.id });
    list.rerank();
    reranker.session().observe({ type: "dismiss", candidate: page1[0]!.id });
    await soon();
    expect(told).toBe(1);
    session.observe({ type: "open", id: "one", candidate: page1[0]!.id });
    list.rerank();
    session.snapshot();
    await soon();
    expect(told).toBe(1);
  });

  test("every subscription is its own; one that was ended is not told, not even of what was on its way", async () => {
    const session = reranker.session();
    const list = session.prepare(asked);
    const told: string[] = [];
    const same = () => told.push("same");
    const stops = [list.subscribe(same), list.subscribe(same)];
    list.subscribe(() => { told.push("first"); stopLast(); });
    const stopLast = list.subscribe(() => told.push("last"));
    session.observe({ type: "open", candidate: page1[0]!.id });
    stops[0]!();
    stops[0]!();
    await soon();
    expect(told).toEqual(["same", "first"]);
    // Unmounted and mounted again within one moment: told once more, by the new subscription.
    stops[1]!();
    session.observe({ type: "open", candidate: page1[1]!.id });
    stops[1] = list.subscribe(same);
    await soon();
    expect(told).toEqual(["same", "first", "first", "same"]);
    session.observe({ type: "open", candidate: page1[2]!.id });
    list.dispose();
    list.subscribe(same);
    session.observe({ type: "open", candidate: page1[3]!.id });
    await soon();
    expect(told).toHaveLength(4);
  });

  test("a listener may rank, observe, append, dispose and throw", async () => {
    const session = reranker.session();
    const [list, other] = [session.prepare({ ...asked, candidates: page1 }), session.prepare(asked)];
    const seen: string[][] = [];
    let left = 3;
    list.subscribe(() => {
      seen.push(ids(list.rerank({ frozen: 1 })));
      if (left-- > 0) session.observe({ type: "dismiss", candidate: seen.at(-1)![1]! });
      else if (left === -1) list.append(page2);
      else list.dispose();
      throw new Error("of the page's own");
    });
    let others = 0;
    other.subscribe(() => (others += 1));
    session.observe({ type: "open", candidate: page1[0]!.id });
    await soon();
    expect(seen.map(({ length }) => length)).toEqual([6, 6, 6, 6, 9]);
    // Two causes fell into one moment of the other list's, twice.
    expect(others).toBe(2);
    expect(list.rerank().reason).toBe("disposed");
    expect(new Set(ids(other.rerank()).slice(-3))).toEqual(new Set(seen.slice(0, 3).map((order) => order[1])));
  });
});

describe("responses that race", () => {
  const at = (session: Session<Candidate>, listId: string | null, time: number) =>
    session.prepare({ ...asked, list_id: listId, now: time, candidates: page1 });
  const reasons = (...lists: List<Candidate>[]) => lists.map((list) => list.rerank().reason);

  test("by list_id and now: the older one is superseded, whichever came first; a tie goes to the later", () => {
    const session = reranker.session();
    const [first, second] = [at(session, "home", now), at(session, "home", now)];
    expect(reasons(first, second)).toEqual(["superseded", null]);
    const late = at(session, "home", now - 1);
    expect(reasons(second, late)).toEqual([null, "superseded"]);
    // Other lists, other sessions, and lists without a name race with nobody.
    const apart = [at(session, "side", now - 5), at(session, null, now - 5), at(session, null, now - 9), at(reranker.session(), "home", now - 5)];
    expect(reasons(second, ...apart)).toEqual([null, null, null, null, null]);
  });

  test("the shown part of a list that was superseded stays, and its items are still marked", () => {
    const session = reranker.session();
    replay(session);
    const list = at(session, "home", now);
    const shown = list.rerank().items;
    at(session, "home", now + 1);
    session.observe({ type: "dismiss", candidate: shown[0]!.id });
    const ranking = list.rerank({ frozen: 2 });
    expect([ranking.reason, ranking.items.slice(0, 2)]).toEqual(["superseded", shown.slice(0, 2)]);
    expect(ranking.entries[0]).toMatchObject({ suppressed: "dismissed", constraints: ["frozen", "suppressed"] });
  });

  test("while loading, and one that was disposed holds nothing against a later one", async () => {
    const own = createReranker<Candidate>({ bundle: bundle(), clock });
    const session = own.session();
    const [late, early] = [at(session, "home", now), at(session, "home", now - 1)];
    expect(reasons(late, early)).toEqual(["loading", "superseded"]);
    await own.ready;
    expect(reasons(late, early)).toEqual([null, "superseded"]);
    late.dispose();
    expect(reasons(at(session, "home", now - 1), late, early)).toEqual([null, "disposed", "superseded"]);
    own.dispose();
  });
});

describe("surfaces, sessions, accounts", () => {
  test("two surfaces of one session: one context, each its own list, order and frozen part", async () => {
    const session = reranker.session();
    const [main, side] = [session.prepare(asked), session.prepare({ ...asked, surface: "assistant", candidates: page1 })];
    const told: string[] = [];
    main.subscribe(() => told.push("main"));
    side.subscribe(() => told.push("side"));
    const [before, beside] = [main.rerank(), side.rerank()];
    session.observe({ type: "dismiss", candidate: page1[2]!.id, surface: "assistant" });
    await soon();
    expect(told).toEqual(["main", "side"]);
    const [after, aside] = [main.rerank({ frozen: 3 }), side.rerank()];
    for (const { entries } of [after, aside]) expect(entries.find(({ id }) => id === page1[2]!.id)!.suppressed).toBe("dismissed");
    expect(after.items.slice(0, 3)).toEqual(before.items.slice(0, 3));
    expect(aside.items.at(-1)).toBe(page1[2]);
    expect(beside.items).not.toEqual(aside.items);
    side.dispose();
    expect(main.rerank().source).toBe("model");
  });

  test.each(["loaded", "loading"])("another account, %s: nothing of the one before reaches it, to the bit", async (state) => {
    const own = createReranker<Candidate>({ bundle: bundle(), clock });
    if (state === "loaded") await own.ready;
    const before = own.session({ key: "user-7/account-1" });
    const theirs = before.prepare({ ...asked, list_id: "home", now: now + 5 });
    let told = 0;
    theirs.subscribe(() => (told += 1));
    replay(before);
    before.observe({ type: "dismiss", key: page1[0]!.key });
    theirs.rerank();
    before.dispose();
    const after = own.session({ key: "user-7/account-2" });
    const list = after.prepare({ ...asked, list_id: "home" });
    // What still arrives for the account that was left: a click on its way, a response, a page.
    expect(before.observe({ type: "dismiss", key: page1[1]!.key })).toEqual({ accepted: false, due: false, reason: "disposed" });
    before.prepare({ ...asked, list_id: "home", now: now + 9 }).rerank();
    theirs.append([{ ...page1[0]!, id: "late" }]);
    theirs.update({});
    before.forget();
    await own.ready;
    expect(theirs.rerank().reason).toBe("stale_list");
    const fresh = createReranker<Candidate>({ bundle: bundle(), clock });
    await fresh.ready;
    const alone = fresh.session();
    const twin = alone.prepare(asked);
    for (const act of [() => undefined, () => [after, alone].forEach(replay), () => [list, twin].forEach((one) => one.update({}))]) {
      act();
      expect(bits(list.rerank({ frozen: 2 }))).toEqual(bits(twin.rerank({ frozen: 2 })));
    }
    expect(known(after)).toEqual(known(alone));
    expect(after.signals({ surface: "ads_manager" })).toEqual(alone.signals({ surface: "ads_manager" }));
    await soon();
    // Of its session's end, and of what was given to it afterwards; of the other account never.
    const upTo = told;
    after.observe({ type: "open", candidate: page1[3]!.id });
    await soon();
    expect(told).toBe(upTo);
    own.dispose();
    fresh.dispose();
  });
});

describe("callers that come back in", () => {
  /** A candidate whose id does something when it is read. */
  const acting = (candidate: Candidate, act: () => unknown): Candidate =>
    Object.defineProperty({ ...candidate }, "id", { enumerable: true, get: () => (act(), candidate.id) });

  test("an accessor that appends: its page comes after the one that is read, whole", () => {
    const list = reranker.session().prepare({ ...asked, candidates: page1 });
    list.append([page2[0]!, acting(page2[1]!, () => list.append(page3)), ...page2.slice(2)]);
    const ranking = list.rerank();
    expect([ranking.source, ranking.reason]).toEqual(["model", null]);
    const order = [...ranking.entries].sort((a, b) => a.serverRank - b.serverRank).map(({ id }) => id);
    expect(order).toEqual([...page1, ...page2, ...page3].map(({ id }) => id));
  });

  test("an accessor that ranks, updates, observes or disposes while it is read", () => {
    const session = reranker.session();
    const list = session.prepare({ ...asked, candidates: page1 });
    const seen: number[] = [];
    list.append([acting(page2[0]!, () => seen.push(list.rerank().items.length)), acting(page2[1]!, () => list.update({}))]);
    list.append([acting(page2[2]!, () => session.observe({ type: "dismiss", candidate: page1[0]!.id }))]);
    expect(seen).toEqual([6]);
    const ranking = list.rerank();
    expect([ranking.source, ranking.items.length, ranking.items.at(-1)]).toEqual(["model", 9, page1[0]]);
    expect(bits(ranking)).toEqual(bits(session.prepare({ ...asked, candidates: [...page1, ...page2.slice(0, 3)], facts: {} }).rerank()));
    list.append([acting(page3[0]!, () => list.dispose())]);
    expect(list.rerank()).toMatchObject({ reason: "disposed", items: { length: 10 } });
    const other = session.prepare({ ...asked, candidates: page1 });
    other.append([acting(page3[0]!, () => session.dispose())]);
    expect(other.rerank()).toMatchObject({ reason: "stale_list", items: { length: 7 } });
    const inside = session.prepare({ ...asked, candidates: [acting(page1[0]!, () => session.prepare(asked).rerank())] });
    expect(inside.rerank().reason).toBe("stale_list");
  });

  test("frozen: ids that are gone or twice, and an iterable that comes back in", () => {
    const session = reranker.session();
    const list = session.prepare({ ...asked, candidates: page1 });
    const last = list.rerank().items.at(-1)!;
    session.observe({ type: "open", candidate: page1[1]!.id });
    const ranking = list.rerank({ frozen: ["gone", last.id, last.id, 5n, "later"] });
    expect([ranking.source, ranking.items.at(-1)]).toEqual(["model", last]);
    function* from(act: () => unknown) {
      yield last.id;
      act();
      yield page2[0]!.id;
    }
    const grown = list.rerank({ frozen: from(() => list.append(page2)) });
    expect([grown.source, grown.items.length, grown.items[5]]).toEqual(["model", 9, last]);
    const done = list.rerank({ frozen: from(() => list.dispose()) });
    expect([done.reason, done.items.length, done.items[grown.items.indexOf(last)]]).toEqual(["disposed", 9, last]);
    expect(list.rerank({ get frozen(): never { throw new Error("no"); } }).reason).toBe("disposed");
  });

  test("told of a status in the middle of a call, a caller may do anything", async () => {
    const acts: ((list: List<Candidate>, own: Reranker<Candidate>) => unknown)[] = [
      (list) => list.rerank({ frozen: 1 }), (list) => list.append(page2), (list) => list.update({}), (list) => list.dispose(),
      (_, own) => own.session().prepare(asked).rerank(), (_, own) => own.dispose(),
    ];
    for (const act of acts) {
      let list: List<Candidate> | undefined;
      const own: Reranker<Candidate> = createReranker<Candidate>({
        bundle: bundle(), wasm: trapping(wasm(), "engine_signals"), clock, onStatus: () => list && act(list, own),
      });
      await own.ready;
      const session = own.session();
      list = session.prepare({ ...asked, candidates: page1 });
      const shown = list.rerank().items;
      expect(session.signals()).toEqual({});
      const ranking = list.rerank({ frozen: 2 });
      expect([ranking.source, ranking.items.slice(0, 2)]).toEqual(["server", shown.slice(0, 2)]);
      await soon();
      expect(new Set(list.rerank().items).size).toBe(list.rerank().items.length);
      own.dispose();
    }
  });
});

// A session that outlives its page, over any store: what is saved, what two pages make of one context, what is kept of what
// cannot be read, and that nothing is left after `forget`. With a real database and real tabs: storage-browser.test.ts.
import fc from "fast-check";
import { createReranker, type LocalEvent, type Reranker } from "ranklet";
import { memoryStore, persistSession, type PersistOptions, type PersistedSession, type Store } from "ranklet/storage";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { bundle, request, type Candidate } from "./fixtures.js";

const KEY = "user-7/account-12";
const now = request().now;
let reranker: Reranker<Candidate>;
let open: PersistedSession[] = [];

beforeAll(async () => {
  reranker = createReranker<Candidate>({ bundle: bundle(), clock: () => now });
  expect((await reranker.ready).reason).toBeNull();
});

afterEach(async () => {
  for (const one of open) await one.stop();
  open = [];
});

afterAll(() => reranker.dispose());

/** A page with its session; a long debounce, so that only what a test asks for is saved. */
async function page(store: Store, options: Partial<PersistOptions> = {}, by = reranker) {
  const one = await persistSession(by, { key: KEY, store, debounceMs: 100_000, ...options });
  open.push(one);
  return one;
}

const event = (place: number, more: Partial<LocalEvent> = {}): LocalEvent => ({
  type: "open", key: `campaign-${place % 5}`, candidate_type: "raise_budget", surface: "ads_manager", time: now - 60_000 + place * 100, ...more,
});

/** What a session knows, to the digits that any order of events gives. */
function known(session: PersistedSession["session"] | ReturnType<Reranker["session"]>): string {
  const values = session.signals({ candidate: "campaign-1", surface: "ads_manager", now });
  return JSON.stringify(values, (_, value: unknown) => (typeof value === "number" ? Number(value.toPrecision(6)) : value));
}

function single(events: LocalEvent[]): string {
  const session = reranker.session();
  for (const one of events) expect(session.observe(one).accepted).toBe(true);
  const all = known(session);
  session.dispose();
  return all;
}

const texts = async (store: Store) =>
  (await Promise.all((await store.keys("")).map(async (key) => `${key} ${String(await store.get(key))}`))).join("\n");

test("what one page saw the next one knows; saved when asked, after the debounce, and when it stops", async () => {
  const store = memoryStore();
  const first = await page(store);
  first.session.observe(event(1));
  await first.saved();
  first.session.observe(event(2));
  await first.stop();
  const second = await page(store, { debounceMs: 20 });
  expect(second.session.restored).toBe(true);
  expect(second.session.key).toBe(KEY);
  expect(known(second.session)).toBe(single([event(1), event(2)]));
  second.session.observe(event(3));
  await vi.waitFor(async () => expect(known((await page(store)).session)).toBe(single([event(1), event(2), event(3)])));
  // Another key, another context.
  expect(known((await page(store, { key: "user-7" })).session)).toBe(single([]));
  expect(first.problem).toBeNull();
});

test("two pages at once: nothing is lost and nothing counts twice, whether they hear of each other or not", async () => {
  for (const tabs of [undefined, "two-pages"]) {
    const store: Store = { ...memoryStore(), ...(tabs ? { tabs } : {}) };
    const [one, other] = [await page(store), await page(store)];
    const all: LocalEvent[] = [];
    for (let turn = 0; turn < 12; turn++) {
      const made = event(turn);
      all.push(made);
      (turn % 3 === 0 ? other : one).session.observe(made);
      if (turn % 4 === 1) await one.saved();
      if (turn % 5 === 2) await other.saved();
    }
    await one.saved();
    await other.saved();
    expect(known((await page(store)).session), String(tabs)).toBe(single(all));
    if (tabs) {
      await vi.waitFor(() => expect(known(one.session)).toBe(single(all)));
      await vi.waitFor(() => expect(known(other.session)).toBe(single(all)));
    } else {
      // Each hears of the rest where it meets it in the store.
      await one.saved();
      one.session.observe(event(20));
      await one.saved();
      expect(known(one.session)).toBe(single([...all, event(20)]));
    }
  }
});

test("property: any interleaving of two pages' events and saves gives the context of one", async () => {
  const step = fc.record({ by: fc.nat(1), act: fc.constantFrom("event", "event", "event", "save", "leave"), place: fc.nat(400), type: fc.constantFrom("open", "impression", "dismiss", "accept") });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const store = memoryStore();
      const pages = [await page(store), await page(store)];
      const all: LocalEvent[] = [];
      for (const [turn, { by, act, place, type }] of steps.entries()) {
        const made = event(place, { type, id: `e${turn}`, list: `l${turn}` });
        if (act === "event") {
          pages[by]!.session.observe(made);
          all.push(made);
        } else if (act === "save") await pages[by]!.saved();
        else {
          await pages[by]!.stop();
          pages[by] = await page(store);
        }
      }
      for (const one of pages) await one.saved();
      expect(known((await page(store)).session)).toBe(single(all));
      for (const one of open) await one.stop();
      open = [];
    }),
    { numRuns: 200 },
  );
});

test("without an engine the events wait in the store, and the next page's engine takes them in", async () => {
  const store = memoryStore();
  const first = await page(store);
  first.session.observe(event(1));
  await first.stop();
  const none = createReranker<Candidate>({ bundle: new Uint8Array(9) });
  await none.ready;
  const second = await page(store, {}, none);
  second.session.observe(event(2));
  second.session.observe(event(3, { type: "dismiss" }));
  await second.stop();
  none.dispose();
  const third = await page(store);
  expect(known(third.session)).toBe(single([event(1), event(2), event(3, { type: "dismiss" })]));
  await third.saved();
  expect((await store.keys("")).filter((key) => key.includes("pending"))).toEqual([]);
  expect(known((await page(store)).session)).toBe(known(third.session));
});

test("a context of a newer version is kept aside, and comes back where it can be read", async () => {
  const store = memoryStore();
  const first = await page(store);
  first.session.observe(event(1));
  await first.stop();
  const place = (await store.keys("ranklet/session/"))[0]!;
  const good = JSON.parse((await store.get(place)) as string) as { snapshot: string };
  const newer = JSON.stringify({ ...good, snapshot: good.snapshot.replace(/"version":\d+/, '"version":99') });
  await store.set(place, newer);
  const problems: string[] = [];
  const second = await page(store, { onProblem: ({ code }) => problems.push(code) });
  expect(second.session.restored).toBe(false);
  second.session.observe(event(2));
  await second.stop();
  expect(problems).toEqual(["newer"]);
  const aside = (await store.keys("ranklet/aside/"))[0]!;
  expect(await store.get(aside)).toBe(newer);
  // As after an update: the same text, of a version that is read.
  await store.set(aside, JSON.stringify(good));
  const third = await page(store);
  await third.stop();
  expect(await store.keys("ranklet/aside/")).toEqual([]);
  expect(known((await page(store)).session)).toBe(single([event(1), event(2)]));
});

test("what is not ours, cut or turned is no session, is reported, and is not lost", async () => {
  const kept = await (async () => {
    const store = memoryStore();
    const first = await page(store);
    first.session.observe(event(1));
    await first.stop();
    return (await store.get((await store.keys("ranklet/session/"))[0]!)) as string;
  })();
  const bad: [string | Uint8Array, string][] = [
    ["", "corrupt"], ["null", "corrupt"], ["[]", "corrupt"], [kept.slice(0, 200), "corrupt"], [new Uint8Array(40), "corrupt"],
    ['{"format":1}', "corrupt"], [kept.replace('"format":1', '"format":2'), "newer"], [kept.replace('half_lives', "half_life"), "newer"],
  ];
  for (const [text, code] of bad) {
    const store = memoryStore();
    await store.set(`ranklet/session/${JSON.stringify(KEY)}`, text);
    const problems: string[] = [];
    const one = await page(store, { onProblem: (problem) => problems.push(problem.code) });
    one.session.observe(event(2));
    await one.stop();
    expect(problems, String(text).slice(0, 30)).toEqual([code]);
    expect(await store.get((await store.keys("ranklet/aside/"))[0]!)).toEqual(text);
    expect(known((await page(store)).session), String(text).slice(0, 30)).toBe(single([event(2)]));
  }
});

test("property: whatever lies in the store, a page gets a session", async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.json(), fc.string()), fc.oneof(fc.json(), fc.string()), async (record, pending) => {
      const store = memoryStore();
      await store.set(`ranklet/session/${JSON.stringify(KEY)}`, record);
      await store.set(`ranklet/pending/${JSON.stringify(KEY)}/t`, pending);
      const one = await page(store);
      expect(one.session.observe(event(1)).accepted).toBe(true);
      await one.stop();
      open = [];
      expect(known((await page(store)).session)).toBe(single([event(1)]));
    }),
    { numRuns: 60 },
  );
});

test("no room: the oldest sessions make way, then it gives up and says so, and later it saves again", async () => {
  const inner = memoryStore();
  let room = Infinity;
  const store: Store = {
    ...inner,
    async set(key, value) {
      const others = await Promise.all((await inner.keys("")).filter((one) => one !== key).map((one) => inner.get(one)));
      const used = [...others, value].reduce((sum, one) => sum + one!.length, 0);
      if (used > room) throw new DOMException("there is no room", "QuotaExceededError");
      await inner.set(key, value);
    },
  };
  for (const key of ["old", "older", "new"]) {
    vi.spyOn(Date, "now").mockReturnValueOnce({ old: 2, older: 1, new: 3 }[key]!);
    const one = await page(store, { key });
    one.session.observe(event(1));
    await one.saved();
  }
  vi.restoreAllMocks();
  const used = (await texts(store)).length;
  room = used;
  const one = await page(store);
  one.session.observe(event(1));
  await one.saved();
  expect(one.problem).toBeNull();
  const gone = (await Promise.all((await store.keys("ranklet/session/")).map(async (key) => [key, JSON.parse((await store.get(key)) as string)] as const)))
    .filter(([, { evicted }]) => (evicted as boolean) === true).map(([key]) => key);
  expect(gone).toContain('ranklet/session/"older"');
  expect(gone).not.toContain('ranklet/session/"new"');
  // A page that still has it is not told that it was forgotten, and may store it again.
  const older = open[1]!;
  room = Infinity;
  await older.saved();
  expect(known(older.session)).toBe(single([event(1)]));
  expect(known((await page(store, { key: "older" })).session)).toBe(single([event(1)]));
  room = 10;
  const problems: string[] = [];
  const full = await page(store, { key: "full", onProblem: (problem) => problems.push(problem.code) });
  full.session.observe(event(1));
  await full.saved();
  expect([problems, full.problem?.code]).toEqual([["quota"], "quota"]);
  expect(known(full.session)).toBe(single([event(1)]));
  room = Infinity;
  await full.saved();
  expect(full.problem).toBeNull();
  expect(known((await page(store, { key: "full" })).session)).toBe(single([event(1)]));
});

test("a store that fails costs the memory and no session", async () => {
  const no = () => Promise.reject(new Error("no"));
  const problems: string[] = [];
  const one = await page({ get: no, set: no, delete: no, keys: no }, { onProblem: ({ code }) => problems.push(code) });
  expect(one.session.observe(event(1)).accepted).toBe(true);
  await one.saved();
  await one.forget();
  await one.stop();
  expect(problems).toEqual(["unavailable"]);
  // A store that throws at once, and none at all.
  const thrown = () => {
    throw new Error("at once");
  };
  for (const store of [{ get: thrown, set: thrown, delete: thrown, keys: thrown }, undefined]) {
    const other = await page(store as never);
    expect(other.session.observe(event(1)).accepted).toBe(true);
    await other.saved();
    await other.stop();
    expect(other.problem?.code).toBe("unavailable");
  }
});

test("forget leaves nothing, here and in pages that hear of it, or that do not and save later", async () => {
  for (const tabs of [undefined, "forgetful"]) {
    const store: Store = { ...memoryStore(), ...(tabs ? { tabs } : {}) };
    const [one, other] = [await page(store), await page(store)];
    one.session.observe(event(1, { value: "a secret" }));
    await one.saved();
    other.session.observe(event(2));
    await other.saved();
    // In a moment of its own: what is sent in the very millisecond of a `forget` is not told from what was sent before.
    await new Promise((done) => setTimeout(done, 5));
    const bystander = await page(store, { key: "user-7" });
    bystander.session.observe(event(9));
    await bystander.saved();
    await one.forget();
    expect((await store.keys("")).filter((key) => !key.includes('"user-7"'))).toEqual([]);
    if (tabs) await vi.waitFor(() => expect(known(other.session)).toBe(single([])));
    await new Promise((done) => setTimeout(done, 5));
    other.session.observe(event(3));
    await other.saved();
    expect(await texts(store)).not.toMatch(/campaign-1|campaign-2|secret|account-12.*campaign-2/);
    if (tabs) {
      await vi.waitFor(() => expect(known(one.session)).toBe(single([event(3)])));
      expect(known((await page(store)).session)).toBe(single([event(3)]));
    } else {
      expect(known(one.session)).toBe(single([]));
      // It learnt of it when it saved, and what it saw before it learnt went too.
      expect(known(other.session)).toBe(single([]));
      expect(known((await page(store)).session)).toBe(single([]));
    }
    // Begun anew, it is kept as ever.
    one.session.observe(event(4));
    await one.saved();
    expect(await texts(store)).toContain("campaign-4");
    expect(known((await page(store, { key: "user-7" })).session)).toBe(single([event(9)]));
  }
});

test("session.forget() is the same, even while a save is on its way", async () => {
  const inner = memoryStore();
  let slow = false;
  const store: Store = { ...inner, set: async (key, value) => {
    if (slow) await new Promise((done) => setTimeout(done, 30));
    await inner.set(key, value);
  } };
  const one = await page(store);
  one.session.observe(event(1));
  slow = true;
  const saving = one.saved();
  await new Promise((done) => setTimeout(done, 10));
  one.session.forget();
  await Promise.all([saving, one.forget()]);
  expect(await store.keys("")).toEqual([]);
  one.session.observe(event(2));
  await one.saved();
  expect(known((await page(store)).session)).toBe(single([event(2)]));
});

test("an event of another page makes no record here", async () => {
  const records: string[] = [];
  const recorded = createReranker<Candidate>({ bundle: bundle(), clock: () => now, consent: "aggregate", onRecord: () => records.push("one") });
  await recorded.ready;
  const store: Store = { ...memoryStore(), tabs: "records" };
  const [one, other] = [await page(store, {}, recorded), await page(store, {}, recorded)];
  const asking = request();
  for (const { session } of [one, other]) session.prepare(asking as never).rerank({ now });
  const decisions = records.length;
  one.session.observe({ type: "accept", candidate: asking.candidates[0]!.id });
  await vi.waitFor(() => expect(known(other.session)).toBe(known(one.session)));
  expect(records.length - decisions).toBe(1);
  for (const each of open) await each.stop();
  recorded.dispose();
});

// Nothing that a caller hands over makes the face throw, and whatever it hands over comes back.
import fc from "fast-check";
import { createReranker, type Reranker } from "ranklet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle, request, type Candidate } from "./fixtures.js";

const asked = request();
let rerankers: Reranker<never>[];

beforeAll(async () => {
  const loaded = createReranker<never>({ bundle: bundle() });
  const loading = createReranker<never>({ bundle: new Promise(() => undefined) });
  const off = createReranker<never>({ bundle: "", enabled: false });
  await loaded.ready;
  rerankers = [loaded, loading, off];
});

afterAll(() => rerankers.forEach((reranker) => reranker.dispose()));

const bomb = () => {
  throw new Error("a getter of the caller's");
};

/** Things whose very touch may throw. The generator only names them, because it touches what it makes. */
const HOSTILE: Record<string, () => unknown> = {
  traps: () => new Proxy({}, { get: bomb, has: bomb, ownKeys: bomb, getOwnPropertyDescriptor: bomb, getPrototypeOf: bomb }),
  arrayOfTraps: () => new Proxy([1, 2], { get: bomb }),
  revoked: () => {
    const { proxy, revoke } = Proxy.revocable([], {});
    revoke();
    return proxy;
  },
  idGetter: () => ({ get id() { return bomb(); } }),
  featuresGetter: () => ({ id: "f", get features() { return bomb(); } }),
  primitive: () => ({ toString: bomb, valueOf: bomb, [Symbol.toPrimitive]: bomb }),
  thenable: () => ({ then: bomb }),
  iterable: () => ({ [Symbol.iterator]: bomb }),
  endless: () => ({ *[Symbol.iterator]() { for (;;) yield "x"; } }),
  frozen: () => Object.freeze({ id: 1 }),
  function: () => bomb,
  symbol: () => Symbol("s"),
};

const ordinary = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withSparseArray: true, withTypedArray: true, withNullPrototype: true }),
  fc.constantFrom<unknown>(NaN, Infinity, -0, 2 ** 53, 10n ** 40n, null, undefined, "\ud800", "__proto__", ""),
);
const anything = fc.oneof(ordinary, fc.constantFrom(...Object.keys(HOSTILE)).map((hostile) => ({ hostile })));

/** What was generated, with the hostile things in place of their names. */
function live(value: unknown): unknown {
  if (Array.isArray(value)) return Array.from(value, live);
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  const name = (value as { hostile?: unknown }).hostile;
  if (typeof name === "string" && name in HOSTILE) return HOSTILE[name]!();
  const entries = Object.entries(value).map(([key, inner]) => [key, live(inner)]);
  return Object.fromEntries(entries);
}

const candidate = fc.oneof(
  anything,
  fc.record({ id: anything, key: anything, type: anything, server_score: anything, value: anything, boost: anything, features: anything }, { requiredKeys: [] }),
  fc.record({ id: fc.uuid(), features: fc.dictionary(fc.constantFrom("uplift", "topic", "related", "field", "cost"), anything) }),
);

const hostileRequest = fc.oneof(
  anything,
  fc.record(
    { candidates: fc.oneof(fc.array(candidate, { maxLength: 12 }), anything), facts: anything, surface: anything, list_id: anything, decision_id: anything, seed: anything, now: anything, frozen: anything },
    { requiredKeys: [] },
  ),
  fc.array(candidate, { maxLength: 12 }).map((candidates) => ({ ...asked, candidates })),
);

const hostileEvent = fc.oneof(
  anything,
  fc.record(
    { id: anything, type: fc.oneof(anything, fc.constantFrom("open", "dismiss", "snooze", "undo", "edit", "search", "dwell")), candidate: anything, key: anything, candidate_type: anything, surface: anything, time: anything, value: anything, reason: anything, field: anything },
    { requiredKeys: [] },
  ),
);

test("prepare, observe, rerank, append and update never throw", () => {
  fc.assert(
    fc.property(hostileRequest, fc.array(hostileEvent, { maxLength: 4 }), anything, candidate, anything, (...generated) => {
      const [given, events, options, more, facts] = generated.map(live) as [unknown, unknown[], unknown, unknown, unknown];
      for (const reranker of rerankers) {
        const session = reranker.session(options as never);
        const list = session.prepare(given as never);
        for (const event of events) session.observe(event as never);
        const ranking = list.rerank(options as never);
        const items = itemsOf(given);
        expect(ranking.items.length).toBe(items.length);
        expect(sameThings(ranking.items, items)).toBe(true);
        expect(ranking.entries.map(({ item }) => item).every((item, at) => Object.is(item, ranking.items[at]))).toBe(true);
        ranking.record();
        list.append(more as never);
        list.update(facts as never);
        list.rerank({ frozen: more as never, now: facts as never });
        const again = list.rerank({ now: 1, frozen: 1 });
        expect(new Set(again.entries.map(({ serverRank }) => serverRank)).size).toBe(again.items.length);
        session.snapshot();
        session.signals(more as never);
        session.signals({ list: more, candidate: facts, surface: more, now: facts } as never);
        session.merge(more as never);
        list.dispose();
        session.dispose();
      }
      expect(rerankers[0]!.status).toMatchObject({ source: "model", detail: "" });
    }),
    { numRuns: 400 },
  );
});

function itemsOf(given: unknown): readonly unknown[] {
  try {
    const { candidates } = given as { candidates: unknown };
    // An array that cannot be read to its end holds nothing.
    return Array.isArray(candidates) ? Array.from({ length: candidates.length }, (_, at) => candidates[at] as unknown) : [];
  } catch {
    return [];
  }
}

/** Whether two arrays hold the very same things, however ordered. */
function sameThings(some: readonly unknown[], others: readonly unknown[]): boolean {
  const counts = new Map<unknown, number>();
  for (let at = 0; at < some.length; at++) counts.set(some[at], (counts.get(some[at]) ?? 0) + 1);
  for (let at = 0; at < others.length; at++) counts.set(others[at], (counts.get(others[at]) ?? 0) - 1);
  return [...counts.values()].every((count) => count === 0);
}

test("objects are read once, in prepare, and a getter that throws spoils only the model's order", () => {
  const reads = new Map<string, number>();
  const watched = asked.candidates.map((item, row) => watch(item as unknown as Record<string, unknown>, `${row}`, reads));
  const list = rerankers[0]!.session().prepare({ ...asked, candidates: watched as never[] });
  for (const [path, count] of reads) expect([path, count]).toEqual([path, 1]);
  const after = reads.size;
  expect(list.rerank({ now: asked.now }).source).toBe("model");
  list.rerank({ now: asked.now + 1 });
  expect(reads.size).toBe(after);

  const broken = [...asked.candidates] as Candidate[];
  broken[2] = { ...broken[2]!, get features(): never { throw new Error("lazy loading failed"); } } as Candidate;
  const ranking = rerankers[0]!.session().prepare({ ...asked, candidates: broken as never[] }).rerank({ now: asked.now });
  expect(ranking).toMatchObject({ source: "server", reason: "request_invalid", items: { length: broken.length } });
  expect(ranking.detail).toContain("lazy loading failed");
  expect(ranking.entries.map(({ id }) => id).filter((id) => id !== "")).toHaveLength(broken.length - 1);
});

function watch(object: Record<string, unknown>, path: string, reads: Map<string, number>): object {
  return new Proxy(object, {
    get(target, name) {
      const at = `${path}.${String(name)}`;
      reads.set(at, (reads.get(at) ?? 0) + 1);
      const value = target[String(name)];
      return typeof value === "object" && value !== null && !Array.isArray(value) ? watch(value as Record<string, unknown>, at, reads) : value;
    },
    set: bomb,
    defineProperty: bomb,
    deleteProperty: bomb,
  });
}

test("callbacks of the caller's may do what they like", async () => {
  const reranker = createReranker<never>({ bundle: bundle(), onStatus: bomb, clock: bomb });
  const session = reranker.session();
  const list = session.prepare({ ...asked, now: undefined } as never);
  expect(list.rerank()).toMatchObject({ source: "server", reason: "loading" });
  list.subscribe(bomb);
  expect((await reranker.ready).reason).toBeNull();
  expect(list.rerank().source).toBe("model");
  await Promise.resolve();
  const good = session.prepare(asked as never);
  good.subscribe(() => good.dispose());
  good.subscribe(bomb);
  expect(session.observe({ type: "open", key: "k", time: 1 }).accepted).toBe(true);
  await Promise.resolve();
  expect(good.rerank({ now: 1 }).reason).toBe("disposed");
  // A getter that takes the engine away while it is read.
  const thief = { get id() { reranker.dispose(); return "x"; } };
  expect(session.prepare({ ...asked, candidates: [thief] } as never).rerank({ now: 1 }).reason).toBe("disposed");
});

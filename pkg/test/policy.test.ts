// What the policy of a bundle does with what only a caller gives: pins, targets, seeds, a work budget.
import { createReranker, type Reranker } from "ranklet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle, edited, request, type Candidate } from "./fixtures.js";

type Pinned = Candidate & { place?: number; about?: bigint; cost?: number; gain?: number };

const asked = request();
const now = asked.now;
const n = asked.candidates.length;
let time = now;
let reranker: Reranker<Pinned>;

beforeAll(async () => {
  const bytes = edited(bundle(), (manifest) => {
    manifest.policy.explore = { method: "plackett_luce", strength: 1, first: 3 };
    manifest.policy.conflicts = [{ types: [...new Set(asked.candidates.map(({ type }) => type))], first: n }];
    manifest.policy.first_screen = 4;
  });
  reranker = createReranker<Pinned>({
    bundle: bytes, clock: () => (time += 1), deadlineMs: 1000,
    pin: "place", target: ({ about }) => about, spendEffect: "cost", benefitLower: ({ gain }) => gain,
  });
  await reranker.ready;
  expect((await reranker.ready).reason).toBe(null);
});

afterAll(() => reranker.dispose());

const prepare = (candidates: readonly Pinned[] = asked.candidates, seed?: bigint | string) =>
  reranker.session().prepare({ ...asked, candidates, seed });

test("accessors of the policy's own columns reach it", () => {
  const plain = prepare().rerank({ now }).entries;
  const pinned = prepare(asked.candidates.map((candidate, row) => ({ ...candidate, place: row === 9 ? 2 : undefined })));
  expect(pinned.rerank({ now }).entries[1]).toMatchObject({ serverRank: 10, constraints: expect.arrayContaining(["pinned"]), relaxed: [] });
  // All about one thing, so all but the first conflict, and something must follow it.
  const one = 2n ** 63n;
  const about = prepare(asked.candidates.map((candidate) => ({ ...candidate, about: one }))).rerank({ now }).entries;
  expect(about.map(({ relaxed }) => relaxed)).toEqual(about.map((_, at) => (at === 0 ? [] : ["conflict"])));
  const lifted = plain.find(({ rank, serverRank }) => rank < serverRank)!;
  const costly = asked.candidates.map((candidate) => ({ ...candidate, cost: candidate.id === lifted.id ? 1 : 0, gain: 0 }));
  const held = prepare(costly).rerank({ now }).entries.find(({ id }) => id === lifted.id)!;
  expect(held.rank).toBeGreaterThanOrEqual(held.serverRank);
});

test("a seed draws with its probability, the same again, and anew at each decision", () => {
  const list = prepare(undefined, 2n ** 64n - 1n);
  const [first, second] = [list.rerank({ now }), list.rerank({ now })];
  expect(first.entries.slice(0, 3).every(({ propensity }) => propensity > 0 && propensity < 1)).toBe(true);
  expect(first.entries.slice(3).every(({ propensity }) => propensity === 1)).toBe(true);
  expect(prepare(undefined, String(2n ** 64n - 1n)).rerank({ now }).entries).toEqual(first.entries);
  expect(prepare().rerank({ now, seed: 2n ** 64n - 1n }).entries).toEqual(first.entries);
  expect(list.rerank({ now, decision_id: `${asked.decision_id}#2` }).entries).toEqual(second.entries);
  const ids = (seed: number) => prepare().rerank({ now, seed }).entries.map(({ id }) => id).join();
  expect(new Set(Array.from({ length: 20 }, (_, seed) => ids(seed))).size).toBeGreaterThan(5);
});

test("what a budget leaves out follows in the server's order", () => {
  const some = prepare().rerank({ now, rows: 5 });
  expect([some.source, some.degraded]).toEqual(["model", true]);
  expect(some.entries.slice(5).map(({ serverRank, utility }) => [serverRank, utility])).toEqual(
    Array.from({ length: n - 5 }, (_, at) => [at + 6, null]),
  );
  expect(prepare().rerank({ now }).degraded).toBe(false);
  expect(prepare().rerank({ now, rows: 3 })).toMatchObject({ source: "server", reason: "deadline_exceeded", degraded: false });
});

test("a deadline becomes a number of rows where the clock moves", async () => {
  let ms = now;
  const slow = createReranker<Candidate>({ bundle: bundle(), clock: () => (ms += 8 * n), deadlineMs: 8 * 6 });
  await slow.ready;
  const list = () => slow.session().prepare(asked);
  expect(list().rerank({ now }).degraded).toBe(false);
  const later = list().rerank({ now });
  // A row took 8 ms, or what the clock was read for besides: never more than six fit.
  expect(later.degraded).toBe(true);
  expect(later.entries.filter(({ utility }) => utility !== null).length).toBe(6);
  slow.dispose();
});

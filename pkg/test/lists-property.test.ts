// Whatever a page does with a list, in whatever order, and whenever the engine stops: frozen items stand, nothing is lost,
// and in the end it ranks as a list made at once of all that is left.
import fc from "fast-check";
import { createReranker, type Reranker } from "ranklet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle, known, request, wasm, type Candidate } from "./fixtures.js";
import { trapping } from "./sabotage.js";

const asked = request();
const { now } = asked;
const all = asked.candidates;
const MINUTE = 60_000;
/** Of the machine: traps far apart are not counted together. */
let time = now;
let fragile: Reranker<Candidate>;
let sound: Reranker<Candidate>;

beforeAll(async () => {
  const clock = () => time;
  fragile = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_signals"), clock, maxEvents: 5 });
  sound = createReranker<Candidate>({ bundle: bundle(), clock });
  await Promise.all([fragile.ready, sound.ready]);
});

afterAll(() => [fragile, sound].forEach((reranker) => reranker.dispose()));

const row = fc.nat({ max: all.length - 1 });
const rows = fc.array(row, { maxLength: 6 });
const step = fc.oneof(
  fc.record({ do: fc.constant("append" as const), rows }),
  fc.record({ do: fc.constant("update" as const), budget: fc.nat(5) }),
  fc.record({ do: fc.constant("observe" as const), row, type: fc.constantFrom("open", "dismiss", "undo", "dwell", "snooze", "impression") }),
  fc.record({ do: fc.constant("observe" as const), row, type: fc.constantFrom("open", "dismiss", "undo", "dwell", "snooze", "impression") }),
  fc.record({ do: fc.constant("rank" as const), frozen: fc.oneof(fc.nat(all.length), rows) }),
  fc.record({ do: fc.constant("rank" as const), frozen: fc.oneof(fc.nat(all.length), rows) }),
  fc.record({ do: fc.constant("stop" as const), wait: fc.boolean() }),
  fc.record({ do: fc.constant("forget" as const) }),
);

const factsOf = (budget: number) => ({ ...asked.facts, campaign: { strategy: "manual", daily_budget: budget * 10 } });

test("any sequence of pages, facts, events, ranks, traps and oblivion", async () => {
  const seen = { model: 0, server: 0 };
  await fc.assert(
    fc.asyncProperty(rows, fc.array(step, { maxLength: 25 }), async (first, steps) => {
      const start = [...new Set(first)].map((at) => all[at]!);
      const held = new Set(start);
      let facts: object | null | undefined = asked.facts;
      let events: object[] = [];
      let shown: Candidate[] = start;
      const session = fragile.session();
      const list = session.prepare({ ...asked, candidates: start });
      for (const [at, one] of steps.entries()) {
        if (one.do === "append") {
          const page = one.rows.map((index) => ({ ...all[index]! }));
          list.append(page);
          for (const item of page) if (![...held].some(({ id }) => id === item.id)) shown = [...shown, item], held.add(item);
        } else if (one.do === "update") {
          list.update((facts = factsOf(one.budget)));
        } else if (one.do === "observe") {
          const { key, type } = all[one.row]!;
          const event = { type: one.type, key, candidate_type: type, surface: "ads_manager", time: now - 1000 + at, value: 5000 };
          const { accepted, reason } = session.observe(event);
          // While there is no engine so many events wait for one, those of the journal among them.
          if (accepted) events.push(event);
          else expect(reason).toBe("limit_exceeded");
        } else if (one.do === "rank") {
          const frozen = typeof one.frozen === "number" ? one.frozen : one.frozen.map((index) => all[index]!.id);
          const { items, source } = list.rerank({ now, frozen });
          seen[source] += 1;
          expect(new Set(items)).toEqual(held);
          expect(items).toHaveLength(held.size);
          const stays = typeof frozen === "number" ? shown.slice(0, frozen) : shown.filter(({ id }) => frozen.includes(id));
          for (const item of stays) expect(items.indexOf(item)).toBe(shown.indexOf(item));
          shown = items;
        } else if (one.do === "stop") {
          time += 2 * MINUTE;
          session.signals();
          if (one.wait) await new Promise((done) => setTimeout(done, 0));
        } else {
          session.forget();
          events = [];
        }
      }
      await new Promise((done) => setTimeout(done, 0));
      const twin = sound.session();
      const whole = twin.prepare({ ...asked, facts: facts ?? null, candidates: [...held] } as never);
      for (const event of events) twin.observe(event as never);
      const [ours, theirs] = [list, whole].map((one) => one.rerank({ now }));
      expect([ours!.source, ours!.entries]).toEqual([theirs!.source, theirs!.entries]);
      expect(known(session)).toEqual(known(twin));
      for (const one of [list, session, whole, twin]) one.dispose();
    }),
    { numRuns: 150 },
  );
  // Both kinds of answer were among them.
  expect(seen.model).toBeGreaterThan(100);
  expect(seen.server).toBeGreaterThan(10);
}, 120_000);

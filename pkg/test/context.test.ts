// The context layer as a page has it: sessions apart, events of the server's, signals and what they mean, real sessions.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createReranker, type LocalEvent, type Reranker, type Session } from "ranklet";
import { describeSignals } from "ranklet/describe";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle, edited, events, lines, request, root, wasm, type Candidate } from "./fixtures.js";
import { Random } from "./generate.js";
import { trapping } from "./sabotage.js";

const asked = request();
const { now } = asked;
const clock = () => now;
const DAY = 86_400_000;
let reranker: Reranker<Candidate>;
/** With reasons declared, and a feature that reads what the draft satisfies. */
let declared: Reranker<Candidate>;

beforeAll(async () => {
  reranker = createReranker({ bundle: bundle(), clock });
  const changed = edited(bundle(), (manifest) => {
    manifest.context.reasons = [{ name: "not_now", dismiss_for: "1h" }, { name: "not_relevant" }];
    const of = (from: string) => manifest.schema.find((feature: { from: string }) => feature.from === from);
    of("local.draft.field_edited").from = "local.draft.satisfies";
    of("local.type.is_last").from = "local.draft.contradicts";
  });
  declared = createReranker({ bundle: changed, clock });
  expect([(await reranker.ready).source, (await declared.ready).source]).toEqual(["model", "model"]);
});

afterAll(() => [reranker, declared].forEach((one) => one.dispose()));

test("10,000 interleaved requests of 100 sessions: bit for bit those of 100 engines of their own", async () => {
  const [SESSIONS, REQUESTS] = [100, 10_000];
  const random = new Random(11);
  const late = now + REQUESTS * 2000;
  const types = ["impression", "open", "dwell", "dismiss", "accept", "snooze", "undo", "search", "edit"];
  const steps = Array.from({ length: REQUESTS }, (_, at) => {
    const time = now + at * 2000;
    const pool = Array.from({ length: 3 + random.whole(6) }, () => asked.candidates[random.whole(asked.candidates.length)]!);
    const candidates = [...new Set(pool)];
    const acts = Array.from({ length: random.whole(4) }, (): LocalEvent => {
      const type = random.pick(types);
      const value = type === "search" ? "budget" : random.whole(60_000);
      return { type, candidate: random.pick(candidates).id, field: "budget", value, time: time + random.whole(1000) };
    });
    return { session: random.whole(SESSIONS), time, candidates, acts };
  });
  const play = (session: Session<Candidate>, { time, candidates, acts }: (typeof steps)[number]) => {
    const list = session.prepare({ ...asked, list_id: "main", now: time, candidates });
    for (const act of acts) session.observe(act);
    const { source, entries } = list.rerank({ now: time + 1000 });
    list.dispose();
    expect(source).toBe("model");
    return JSON.stringify(entries.map(({ id, score, utility, heads, suppressed }) => [id, score, utility, heads, suppressed]));
  };
  const module = await WebAssembly.compile(wasm());
  const shared = createReranker<Candidate>({ bundle: bundle(), wasm: module, clock: () => late });
  await shared.ready;
  const sessions = Array.from({ length: SESSIONS }, () => shared.session());
  const together = steps.map((step) => play(sessions[step.session]!, step));
  let orders = 0;
  for (let at = 0; at < SESSIONS; at++) {
    const own = createReranker<Candidate>({ bundle: bundle(), wasm: module, clock: () => late });
    await own.ready;
    const session = own.session();
    const mine = steps.flatMap((step, place) => (step.session === at ? [[play(session, step), together[place]!]] : []));
    orders += new Set(mine.map(([alone]) => alone)).size;
    expect(mine.find(([alone, among]) => alone !== among)).toBeUndefined();
    expect(session.snapshot()).toBe(sessions[at]!.snapshot());
    own.dispose();
  }
  expect(orders).toBeGreaterThan(REQUESTS * 0.9);
  shared.dispose();
}, 120_000);

const signals = (session: Session<Candidate>, candidate?: string) => session.signals({ surface: "ads_manager", now, ...(candidate === undefined ? {} : { candidate }) });

test("events that the server knows: once each, in any order, and the latest action holds", () => {
  const [a, b] = asked.candidates as [Candidate, Candidate];
  const local: LocalEvent[] = [
    { id: "1", type: "open", candidate: a.id, time: now - 5000 },
    { id: "2", type: "dismiss", candidate: a.id, time: now - 4000 },
    { id: "3", type: "undo", candidate: b.id, time: now - 1000 },
  ];
  const server: LocalEvent[] = [
    { id: "2", type: "dismiss", key: a.key, candidate_type: a.type, time: now - 4000 },
    { id: "4", type: "undo", key: a.key, candidate_type: a.type, time: now - 3000 },
    { id: "5", type: "snooze", key: b.key, candidate_type: b.type, time: now - 2000, value: DAY },
    { id: "6", type: "accept", key: "elsewhere", candidate_type: a.type, time: now - 40 * 60_000 },
  ];
  const after = (first: LocalEvent[], second: LocalEvent[], again: LocalEvent[] = []) => {
    const session = reranker.session();
    const list = session.prepare(asked);
    for (const event of first) session.observe(event);
    expect(session.merge(second)).toEqual({ accepted: second.length, refused: 0, due: true, reason: null });
    session.merge(again);
    const marks = list.rerank({ now }).entries.filter(({ suppressed }) => suppressed).map(({ id }) => id);
    return [marks, [undefined, a.id, b.id, "elsewhere"].map((id) => signals(session, id))];
  };
  const one = after(local, server, server);
  expect(one[0]).toEqual([]);
  const known = one[1] as Record<string, number>[];
  expect(known[1]).toMatchObject({ "local.key.dismiss.1d": expect.closeTo(1, 3), "local.account.accept.1d": expect.closeTo(1, 1) });
  expect(known[0]!["local.session.events"]).toBe(5);
  expect(close(after([...local].reverse(), [...server].reverse()), one)).toBe(true);
  expect(close(after([], [...server, ...local]), one)).toBe(true);
  // Only what the server knows, and then only what is known here.
  expect(after([], server)[0]).toEqual([b.id]);
  const session = reranker.session();
  expect(session.merge([{ type: "yawn" }, { id: "7", type: "open", key: "k" }])).toEqual({ accepted: 1, refused: 1, due: true, reason: "request_invalid" });
  for (const wrong of [null, 7, "x", { length: 2 }]) expect(session.merge(wrong as never)).toMatchObject({ accepted: 0, reason: "request_invalid" });
});

/** Alike but for the last digits of a sum. */
function close(one: unknown, other: unknown): boolean {
  if (typeof one === "number" && typeof other === "number") return Math.abs(one - other) <= 1e-6 * (1 + Math.abs(one));
  if (typeof one !== "object" || one === null || typeof other !== "object" || other === null) return Object.is(one, other);
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => close(one[name as never], other[name as never]));
}

test("an impression counts once for a list and key, wherever it is observed from", () => {
  const [a] = asked.candidates as [Candidate];
  const session = reranker.session();
  const impressions = () => Math.round(signals(session, a.id)["local.key.impression.1d"] as number);
  session.prepare({ ...asked, decision_id: "d1" });
  const seen = (event: object) => session.observe({ type: "impression", time: now, ...event });
  seen({ candidate: a.id });
  seen({ candidate: a.id });
  seen({ key: a.key });
  expect(impressions()).toBe(1);
  session.prepare({ ...asked, decision_id: "d2" });
  seen({ candidate: a.id });
  seen({ candidate: a.id });
  expect(impressions()).toBe(2);
  seen({ candidate: a.id, list: "sidebar" });
  seen({ key: a.key, list: "sidebar" });
  expect(impressions()).toBe(3);
  // The same response, prepared twice: a page that mounts a component twice.
  session.prepare({ ...asked, decision_id: "d1" });
  seen({ candidate: a.id });
  expect(impressions()).toBe(3);
  // It stands in a snapshot, and comes from no list it was not shown in.
  const heir = reranker.session({ snapshot: session.snapshot() });
  heir.prepare({ ...asked, decision_id: "d2" });
  heir.observe({ type: "impression", candidate: a.id, time: now });
  expect(signals(heir, a.id)).toEqual(signals(session, a.id));
  expect(signals(session)["local.session.unopened"]).toBe(3);
});

test("a journal with impressions, reasons and merged events counts each once in a new engine", async () => {
  const trapped = createReranker<Candidate>({ bundle: bundle(), wasm: trapping(wasm(), "engine_describe"), clock, maxEvents: 5 });
  await trapped.ready;
  const session = trapped.session();
  session.prepare(asked);
  for (const event of events()) session.observe(event);
  for (let at = 0; at < 12; at++) session.observe({ type: "impression", candidate: asked.candidates[at % 4]!.id, time: now });
  session.merge(events());
  session.observe({ type: "dismiss", candidate: asked.candidates[0]!.id, reason: "not_now", value: 5000, time: now });
  const before = session.snapshot();
  expect(describeSignals(session)).toEqual({ signals: [], schema: { type: "object" } });
  expect(trapped.status.reason).toBe("trapped");
  await new Promise((done) => setTimeout(done, 0));
  expect(session.snapshot()).toBe(before);
  trapped.dispose();
});

test("a dismissal hides for as long as its reason says, with an engine and without", async () => {
  const [a, b, c, d] = asked.candidates as [Candidate, Candidate, Candidate, Candidate];
  const HOUR = 3_600_000;
  const acts: LocalEvent[] = [
    { type: "dismiss", key: a.key, reason: "not_now", time: now },
    { type: "dismiss", key: b.key, reason: "not_relevant", time: now },
    { type: "dismiss", key: c.key, reason: "no idea", time: now },
    { type: "dismiss", key: d.key, reason: "not_now", value: 2 * HOUR, time: now },
  ];
  const session = declared.session();
  const list = session.prepare(asked);
  for (const act of acts) session.observe(act);
  const hidden = (at: number, source: string) => {
    const ranking = list.rerank({ now: at });
    expect(ranking.source).toBe(source);
    return [a, b, c, d].map(({ id }) => ranking.entries.find((entry) => entry.id === id)!.suppressed !== null);
  };
  const moments = [now, now + HOUR - 1, now + HOUR, now + 2 * HOUR, now + 30 * DAY - 1, now + 30 * DAY];
  const expected = [[true, true, true, true], [true, true, true, true], [false, true, true, true], [false, true, true, false], [false, true, true, false], [false, false, false, false]];
  expect(moments.map((at) => hidden(at, "model"))).toEqual(expected);
  expect(session.signals({ candidate: a.id, now })).toMatchObject({ "local.key.dismiss_not_now.10m": expect.closeTo(1, 2), "local.key.dismiss_not_relevant.10m": 0, "local.account.dismiss_not_now.1d": expect.closeTo(2, 2) });
  session.dispose();
  expect(moments.map((at) => hidden(at, "server"))).toEqual(expected);
});

test("local signals and the request's facts in one namespace, with their meanings and a schema", () => {
  const session = reranker.session();
  const list = session.prepare(asked);
  for (const event of events()) session.observe(event);
  const { signals: meanings, schema } = describeSignals(session);
  expect(new Set(meanings.map(({ name }) => name)).size).toBe(meanings.length);
  for (const { name, unit, privacy, doc } of meanings) {
    expect([name, unit.length > 0, ["local_only", "aggregate", "loggable"].includes(privacy), doc.length > 9]).toEqual([name, true, true, true]);
  }
  const of = (name: string) => meanings.find((one) => one.name === name);
  expect(of("local.key.dwell.10m")).toEqual({ name: "local.key.dwell.10m", unit: "seconds", privacy: "loggable", per: "candidate", doc: "dwell by key, half-life 10m", type: ["number"] });
  expect(of("local.draft.satisfies")).toMatchObject({ privacy: "local_only", unit: "boolean", per: "candidate" });
  expect(of("facts.account.country")).toMatchObject({ per: "request", type: ["string", "number", "boolean"] });

  const bare = session.signals({ now });
  const known = session.signals({ list, candidate: asked.candidates[0]!.id, now });
  const local = meanings.filter(({ name }) => name.startsWith("local."));
  expect(Object.keys(known).filter((name) => name.startsWith("local."))).toEqual(local.map(({ name }) => name));
  expect(Object.keys(bare)).toEqual(local.filter(({ per }) => per === "request").map(({ name }) => name));
  for (const [group, facts] of Object.entries(asked.facts!)) {
    for (const [name, value] of Object.entries(facts as object)) expect(known[`facts.${group}.${name}`]).toEqual(value);
  }
  for (const values of [bare, known]) expect(misfits(schema, values)).toEqual([]);
  expect(misfits(schema, { "local.session.events": "3", "local.nothing": 1, "local.type.is_last": 2, "facts.other.one": {} })).toEqual(["local.session.events", "local.nothing", "local.type.is_last", "facts.other.one"]);

  list.update({ account: { country: "NL", tags: ["a", 2n, null], none: undefined } });
  expect(session.signals({ list })).toMatchObject({ "facts.account.country": "NL", "facts.account.tags": ["a", "2"], "facts.account.none": null });
  // Of no list of this session, or of nothing that can be asked about: nothing.
  const stranger = reranker.session().prepare(asked);
  for (const wrong of [{ list: stranger }, { candidate: {} }, { surface: 7 }, { now: "x" }, { list: {} }]) expect(session.signals(wrong as never)).toEqual({});
});

/** The names of values that a schema of `describe` does not allow. */
function misfits(schema: Record<string, unknown>, values: object): string[] {
  const { properties, patternProperties } = schema as { properties: Record<string, Rule>; patternProperties: Record<string, Rule> };
  const ruleOf = (name: string) => properties[name] ?? Object.entries(patternProperties).find(([pattern]) => new RegExp(pattern).test(name))?.[1];
  const typeOf = (value: unknown) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value);
  return Object.entries(values).flatMap(([name, value]) => {
    const rule = ruleOf(name);
    const fits = rule?.type.includes(typeOf(value)) && !(typeof value === "number" && (value > (rule.maximum ?? Infinity) || value < (rule.minimum ?? -Infinity)));
    return fits ? [] : [name];
  });
}

interface Rule {
  type: string[];
  minimum?: number;
  maximum?: number;
}

test("a draft that has what a candidate suggests, and one that goes against it", () => {
  const suggested = asked.candidates.slice(0, 4).map((candidate, at) => ({
    ...candidate,
    features: { ...candidate.features, ...[{ field: "budget", suggested: 80, current: 50 }, { field: "budget", suggested: 20, current: 50 }, { field: "strategy", suggested: "target_roas" }, {}][at] },
  }));
  const session = declared.session();
  const list = session.prepare({ ...asked, candidates: suggested });
  const stances = () =>
    suggested.map(({ id }) => {
      const known = session.signals({ list, candidate: id, now });
      return [known["local.draft.satisfies"], known["local.draft.contradicts"]];
    });
  const edit = (field: string, value: number | string) => session.observe({ type: "edit", field, value, time: now });
  // What has no field says nothing, whatever is typed.
  expect(stances()).toEqual([[0, 0], [0, 0], [0, 0], [null, null]]);
  const before = list.rerank({ now }).entries.map(({ id, score }) => [id, score]);
  edit("budget", 90);
  edit("strategy", "Target_ROAS");
  expect(stances()).toEqual([[1, 0], [0, 1], [1, 0], [null, null]]);
  expect(list.rerank({ now }).entries.map(({ id, score }) => [id, score])).not.toEqual(before);
  edit("budget", 60);
  edit("strategy", "manual");
  expect(stances()).toEqual([[0, 0], [0, 1], [0, 1], [null, null]]);
  session.observe({ type: "undo", field: "budget", time: now });
  expect(stances().slice(0, 2)).toEqual([[0, 0], [0, 0]]);
});

function shuffle<T>(random: Random, values: readonly T[]): T[] {
  const shuffled = [...values];
  for (let at = shuffled.length - 1; at > 0; at--) {
    const other = random.whole(at + 1);
    [shuffled[at], shuffled[other]] = [shuffled[other]!, shuffled[at]!];
  }
  return shuffled;
}

const otto = join(process.env.RANKLET_DATA ?? join(root, "../shared/data"), "otto-sample/train.jsonl");
const OTTO_TYPES: Record<string, string> = { clicks: "open", carts: "accept", orders: "accept" };

interface Recorded {
  session: number;
  events: { aid: number; ts: number; type: string }[];
}

test.skipIf(!existsSync(otto))("otto-sample: real sessions, counted as by hand, in any order and across a restart", () => {
  const recorded = lines<Recorded>(readFileSync(otto, "utf8"));
  expect(recorded.length).toBe(20);
  const random = new Random(3);
  for (const { events: log } of recorded) {
    const acts: LocalEvent[] = log.map(({ aid, ts, type }, at) => ({ id: at, type: OTTO_TYPES[type]!, key: aid, candidate_type: type, time: ts }));
    const end = Math.ceil(log.at(-1)!.ts / 5000) * 5000;
    const [whole, shuffled, half] = [reranker.session(), reranker.session(), reranker.session()];
    for (const act of acts) expect(whole.observe(act).accepted).toBe(true);
    for (const act of shuffle(random, acts)) shuffled.observe(act);
    const cut = acts.length >> 1;
    for (const act of acts.slice(0, cut)) half.observe(act);
    const resumed = reranker.session({ snapshot: half.snapshot() });
    for (const act of acts.slice(cut)) resumed.observe(act);
    expect(resumed.snapshot()).toBe(whole.snapshot());

    // The visit that the last event belongs to: back to the first pause of more than half an hour.
    const times = log.map(({ ts }) => ts).sort((a, b) => b - a);
    const pause = times.findIndex((time, at) => time - (times[at + 1] ?? -Infinity) > 30 * 60_000);
    const known = whole.signals({ now: end });
    expect([known["local.session.events"], known["local.memory.evicted"]]).toEqual([pause + 1, 0]);
    const decayed = (kept: Recorded["events"], half: number) => kept.reduce((sum, { ts }) => sum + 2 ** (-(end - ts) / half), 0);
    const opens = log.filter(({ type }) => type === "clicks");
    expect(known["local.account.open.1d"]).toBeCloseTo(decayed(opens, DAY), 9);
    for (const aid of new Set(log.map((event) => event.aid))) {
      const own = opens.filter((event) => event.aid === aid);
      const asks = [whole, shuffled].map((session) => session.signals({ candidate: aid, now: end }));
      for (const found of asks) {
        expect(found["local.key.open.1d"]).toBeCloseTo(decayed(own, DAY), 9);
        expect(found["local.key.open.10m"]).toBeCloseTo(decayed(own, 600_000), 9);
      }
      expect(close(asks[1], asks[0])).toBe(true);
    }
    [whole, shuffled, half, resumed].forEach((session) => session.dispose());
  }
});

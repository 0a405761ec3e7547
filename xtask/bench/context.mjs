// The context layer at scale, through the package as a page has it: what `observe` takes, what sessions hold, and how far
// the bounded counters are from unbounded ones.
//
//   node context.mjs DIST BUNDLE OUT.json [--quick]
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { pathToFileURL } from "node:url";
import { watchMemories } from "./watch.mjs";

const [dist, bundlePath, out, mode] = process.argv.slice(2);
const SCALE = mode === "--quick" ? 10 : 1;
const [SESSIONS, EVENTS, KEYS] = [200, 1_000_000 / SCALE, 100_000 / SCALE];
const TYPES = 20;
const START = 1_760_000_000_000;
const KINDS = ["impression", "impression", "impression", "open", "dwell", "impression", "open", "dismiss", "impression", "accept"];
const DAY = 86_400_000;
const SIGNALS = ["impression.10m", "open.10m", "open.1d", "dwell.1d", "dismiss.1d", "accept.1d"];

const say = (line) => process.stderr.write(`${line}\n`);
const largest = watchMemories();
const { createReranker } = await import(pathToFileURL(`${dist}/node.js`).href);
const bundle = readFileSync(bundlePath);

/** Mulberry32: the same events at every run. */
function drawn(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Half of the events go through all keys in turn, so that none is missed and every table overflows; half fall on few keys,
 * as attention does (Zipf, exponent 1), on other ones in every session. A second between a session's events, and a late one
 * in eight.
 */
function* workload() {
  const random = drawn(7);
  const log = Math.log(KEYS);
  for (let at = 0; at < EVENTS; at++) {
    const session = at % SESSIONS;
    const popular = (Math.floor(Math.exp(random() * log)) - 1 + session * 491) % KEYS;
    const key = at % 2 === (at >> 9) % 2 ? popular : (at >> 1) % KEYS;
    const late = random() < 0.125 ? random() * 600_000 : 0;
    const time = START + Math.floor(((at / SESSIONS) * 1000) - late + 600_000);
    const type = KINDS[Math.floor(random() * KINDS.length)];
    yield { session, key: `type${key % TYPES}:target-${key}`, candidate_type: `type${key % TYPES}`, type, time, value: type === "dwell" ? Math.floor(random() * 30_000) : undefined };
  }
}

/** Exact counters by session and key: all events, undecayed, to be summed at the end. */
class Unbounded {
  #of = new Map();

  add({ session, key, type, time, value }) {
    const name = `${session} ${key}`;
    const list = this.#of.get(name) ?? [];
    if (list.length === 0) this.#of.set(name, list);
    list.push([type, time, type === "dwell" ? value / 1000 : 1]);
  }

  get subjects() {
    return [...this.#of.keys()];
  }

  value(name, signal, now) {
    const [kind, half] = signal.split(".");
    const halfLife = half === "10m" ? 600_000 : DAY;
    return this.#of.get(name).reduce((sum, [type, time, amount]) => (type === kind ? sum + amount * 2 ** (-Math.max(0, now - time) / halfLife) : sum), 0);
  }
}

function quantiles(times) {
  const sorted = Float64Array.from(times).sort();
  const at = (q) => 1000 * sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  return { median: at(0.5), p90: at(0.9), p99: at(0.99), mean: 1000 * (sorted.reduce((sum, x) => sum + x, 0) / sorted.length), calls: sorted.length };
}

async function observing() {
  const reranker = createReranker({ bundle });
  const { source, detail } = await reranker.ready;
  if (source !== "model") throw new Error(`no engine: ${detail}`);
  const candidates = Array.from({ length: 100 }, (_, at) => ({ id: `rec-${at}`, key: `type${at % TYPES}:target-${at}`, type: `type${at % TYPES}`, server_score: at, features: {} }));
  const cases = {
    "a candidate of a list": (at) => ({ id: `e${at}`, type: KINDS[at % KINDS.length], candidate: `rec-${(at * 7) % 100}`, surface: "ads_manager" }),
    "a new key each, table full": (at) => ({ id: `e${at}`, type: KINDS[at % KINDS.length], key: `type${at % TYPES}:new-${at}`, candidate_type: `type${at % TYPES}` }),
    "a draft edit": (at) => ({ type: "edit", field: "daily_budget", value: at }),
  };
  const answers = {};
  for (const [name, make] of Object.entries(cases)) {
    const session = reranker.session();
    session.prepare({ surface: "ads_manager", list_id: "main", candidates }).rerank();
    const [warm, calls] = [20_000, 100_000 / SCALE];
    const times = new Float64Array(calls);
    for (let at = 0; at < warm + calls; at++) {
      const event = make(at);
      const begin = performance.now();
      const { accepted, reason } = session.observe(event);
      const took = performance.now() - begin;
      if (!accepted) throw new Error(`${name}: ${reason}`);
      if (at >= warm) times[at - warm] = took;
    }
    answers[name] = quantiles(times);
    session.dispose();
  }
  const empty = new Float64Array(100_000);
  for (let at = 0; at < empty.length; at++) {
    const begin = performance.now();
    empty[at] = performance.now() - begin;
  }
  answers["the timer alone"] = quantiles(empty);
  reranker.dispose();
  return answers;
}

/** One session with all the events: its tables overflow within the first tenth, and then nothing grows. */
async function alone() {
  const clock = START + 365 * DAY;
  const reranker = createReranker({ bundle, clock: () => clock });
  await reranker.ready;
  const session = reranker.session();
  const memory = [];
  let done = 0;
  for (const { session: _, ...event } of workload()) {
    session.observe(event);
    if (++done % (EVENTS / 10) === 0) memory.push({ done: done / EVENTS, bytes: largest() });
  }
  reranker.dispose();
  return memory;
}

async function filling() {
  const clock = START + 365 * DAY;
  const reranker = createReranker({ bundle, clock: () => clock });
  await reranker.ready;
  const sessions = Array.from({ length: SESSIONS }, () => reranker.session());
  const unbounded = new Unbounded();
  const memory = [{ done: 0, bytes: largest() }];
  let done = 0;
  let last = 0;
  for (const event of workload()) {
    const { session, ...given } = event;
    const { accepted, reason } = sessions[session].observe(given);
    if (!accepted) throw new Error(reason);
    unbounded.add(event);
    last = Math.max(last, event.time);
    if (++done % (EVENTS / 10) === 0) memory.push({ done: done / EVENTS, bytes: largest() });
  }
  const now = Math.ceil(last / 5000) * 5000;
  const errors = compare(sessions, unbounded, now);
  return { memory, errors, evicted: evictions(sessions, now), snapshots: await snapshots(reranker, sessions, now) };
}

/** Bounded counters beside unbounded ones, by signal: over all keys of ten sessions, and over their hundred heaviest. */
function compare(sessions, unbounded, now) {
  const chosen = new Map();
  for (const name of unbounded.subjects) {
    const [session] = name.split(" ", 1);
    if (Number(session) % 20 === 0) chosen.set(session, [...(chosen.get(session) ?? []), name]);
  }
  return SIGNALS.map((signal) => {
    const row = { signal, subjects: 0, kept: 0, mass: 0, lost: 0, worst: 0, top: 0, topLost: 0 };
    for (const [session, names] of chosen) {
      const pairs = names.map((name) => {
        const key = name.slice(session.length + 1);
        const found = sessions[session].signals({ candidate: key, now })[`local.key.${signal}`];
        return { exact: unbounded.value(name, signal, now), found };
      });
      for (const { exact, found } of pairs) {
        row.subjects++;
        row.mass += exact;
        row.lost += exact - found;
        row.worst = Math.max(row.worst, Math.abs(exact - found));
        if (found > 0) row.kept++;
      }
      for (const { exact, found } of pairs.sort((a, b) => b.exact - a.exact).slice(0, 100)) {
        row.top += exact;
        row.topLost += Math.abs(exact - found);
      }
    }
    return row;
  });
}

function evictions(sessions, now) {
  return sessions.reduce((sum, session) => sum + session.signals({ now })["local.memory.evicted"], 0);
}

async function snapshots(reranker, sessions, now) {
  let [bytes, differing, write, read] = [0, 0, 0, 0];
  for (const session of sessions) {
    const begin = performance.now();
    const text = session.snapshot();
    write += performance.now() - begin;
    bytes += text.length;
    const begun = performance.now();
    const again = reranker.session({ snapshot: text });
    read += performance.now() - begun;
    const values = (one) => JSON.stringify(one.signals({ now, surface: "ads_manager" }));
    if (!again.restored || again.snapshot() !== text || values(again) !== values(session)) differing++;
    again.dispose();
  }
  const each = (x) => x / sessions.length;
  return { differing, bytes: each(bytes), writeMs: each(write), readMs: each(read) };
}

const document = { cpu: cpus()[0]?.model.trim() ?? "unknown", node: process.versions.node, sessions: SESSIONS, events: EVENTS, keys: KEYS };
// First, while its instance is the largest there is.
say(`${EVENTS} events into one session`);
document.alone = await alone();
say("timing observe");
document.observe = await observing();
say(`${EVENTS} events into ${SESSIONS} sessions`);
Object.assign(document, await filling());
writeFileSync(out, `${JSON.stringify(document)}\n`);
process.exit(0);

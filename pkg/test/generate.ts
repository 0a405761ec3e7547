import { request, type Candidate, type Event, type Request } from "./fixtures.js";

const SURFACES = ["ads_manager", "assistant", "sales_console", "somewhere_else", undefined];
const EVENTS = ["impression", "open", "accept", "dismiss", "snooze", "dwell", "undo", "edit", "navigate", "search"];
const SEARCHES = ["raise budget", "Keywords for shoes", "creative", "", "zzz", "pause CAMPAIGN"];

/** Requests and events that resemble the recorded one and reach every corner of the schema: from a seed, always the same. */
export function generate(count: number): { requests: Request[]; events: Event[] } {
  const random = new Random(20_260);
  const pattern = request();
  const requests: Request[] = [];
  const events: Event[] = [];
  for (let at = 0; at < count; at++) {
    const session = `g${at}`;
    const now = pattern.now + random.whole(90) * 86_400_000 + random.whole(86_400_000) + (random.chance(0.2) ? 0.25 : 0);
    const candidates = Array.from({ length: random.whole(22) + 2 }, (_, row) => candidate(random, pattern, row));
    const one: Request = { decision_id: `d${at}`, session, now, candidates, facts: facts(random, pattern) };
    const surface = random.pick(SURFACES);
    if (surface !== undefined) one.surface = surface;
    if (random.chance(0.3)) one.list_id = random.pick(["home", "side"]);
    if (random.chance(0.3)) one.frozen = random.chance(0.5) ? random.whole(4) : [random.pick(candidates).id, "gone"];
    requests.push(one);
    for (let left = random.whole(14); left > 0; left--) events.push(event(random, one));
  }
  return { requests, events };
}

function candidate(random: Random, pattern: Request, row: number): Candidate {
  const model = random.pick(pattern.candidates);
  const features: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(model.features)) {
    if (random.chance(0.12)) continue;
    features[name] = vary(random, value);
  }
  const made: Record<string, unknown> = { id: random.chance(0.1) ? row + 1000 : `r${row}`, features };
  if (!random.chance(0.05)) made["key"] = `${model.key}${random.chance(0.7) ? "" : `#${random.whole(9)}`}`;
  if (!random.chance(0.05)) made["type"] = random.chance(0.03) ? "a_type_nobody_knows" : model.type;
  if (!random.chance(0.05)) made["server_score"] = random.number();
  if (random.chance(0.2)) made["value"] = random.number() * 3;
  if (random.chance(0.2)) made["boost"] = random.number() * 0.1 - 0.05;
  return made as unknown as Candidate;
}

function facts(random: Random, pattern: Request): Record<string, object> {
  const made: Record<string, object> = {};
  for (const [group, values] of Object.entries(pattern.facts ?? {})) {
    if (random.chance(0.04)) continue;
    const kept = Object.entries(values as object).filter(() => !random.chance(0.1));
    made[group] = Object.fromEntries(kept.map(([name, value]) => [name, vary(random, value)]));
  }
  return made;
}

/** A value like this one, and now and then one that is wrong or extreme. */
function vary(random: Random, value: unknown): unknown {
  const wild = random.number();
  if (wild < 0.02) return null;
  if (wild < 0.03) return "a word";
  if (wild < 0.04) return true;
  if (wild < 0.05) return [];
  if (typeof value === "boolean") return random.chance(0.5);
  if (typeof value === "string") return wild < 0.1 ? `${value}ä𝄞` : value;
  if (Array.isArray(value)) return value.filter(() => random.chance(0.8));
  if (typeof value !== "number") return value;
  if (wild < 0.07) return random.pick([0, -0, -1, 1e-42, 5e-324, 1e38, 1e300, -1e300, 2 ** 53 - 1, 0.1]);
  return Number.isInteger(value) ? Math.round(value * (0.5 + random.number())) : value * (0.2 + 2 * random.number());
}

function event(random: Random, { session, now, candidates }: Request): Event {
  const type = random.pick(EVENTS);
  const made: Event = { type, session, time: now - random.whole(random.chance(0.2) ? 5 * 86_400_000 : 1_200_000) + 1000 };
  if (random.chance(0.3)) made.id = random.whole(50);
  if (random.chance(0.7)) made.surface = random.pick(SURFACES.slice(0, 4));
  if (type === "edit") {
    const { features } = random.pick(candidates);
    return { ...made, field: typeof features["field"] === "string" ? features["field"] : "status", value: random.pick([1, "x", true]) };
  }
  if (type === "search") return { ...made, value: random.pick(SEARCHES) };
  if (type === "navigate") return made;
  const { id, key, type: kind } = random.pick(candidates);
  if (random.chance(0.5) || key === undefined) made.candidate = id;
  else made.key = key;
  if (random.chance(0.2) && kind !== undefined) made.candidate_type = kind;
  if (type === "dwell") made.value = random.pick([0, -5, 1200, 30_000, 1e9, 0.5]);
  if (type === "snooze" && random.chance(0.7)) made.value = random.pick([1000, 3_600_000, 1e12]);
  if (type === "dismiss" && random.chance(0.7)) made.reason = random.pick(["not_now", "not_relevant"]);
  return made;
}

/** Marsaglia's xorshift, 32 bits. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 to 1, without 1. */
  number(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) / 2 ** 32;
  }

  whole(below: number): number {
    return Math.floor(this.number() * below);
  }

  chance(probability: number): boolean {
    return this.number() < probability;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.whole(values.length)]!;
  }
}

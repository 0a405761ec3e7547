// The whole re-rank by stage, the same in Node and in a page: what a caller's page pays for one event.

/** What happens between two re-ranks, in turns, 5 seconds apart. */
const KINDS = ["open", "dwell", "impression", "open", "edit", "dwell", "open", "impression"];
const STEP_MS = 5000;

/** Rounds before anything is written down: V8 compiles what is hot. */
const WARM = 300;

/**
 * Times in ms by stage: `{ rounds, rowsRun, recordBytes, stages: { NAME: { median, p99 } } }`. `rowsRun` is the share of
 * the rows for which the model ran again after an event, `recordBytes` the mean length of a record.
 *
 * - prepare: objects fresh from JSON to a list
 * - observe: one event, from call to return
 * - rerank: features, model, calibration, policy, and the ranking's own objects
 * - scores: the same with the bundle that has no policy but the order of the utilities
 * - policy: rerank without scores, of one round
 * - unchanged: a second rerank at the same moment: features compared, no row run
 * - record: what `onRecord` with consent `full` adds: the bytes are made, handed over, and kept in mind. Of one round
 * - whole: observe and rerank with `onRecord`
 * - reader: `readDecision(ranking.record())`, the same as JSON: the cost of who reads a record, which no re-rank pays
 *
 * @param of the package: createReranker, and readDecision of `ranklet/records`
 * @param bundles { whole, plain }: bytes
 * @param text the request as JSON
 */
export async function measureStages({ createReranker: create, readDecision }, bundles, wasm, text, rounds) {
  const { now: start, ...request } = JSON.parse(text);
  let now = start;
  const kept = { bytes: 0, decisions: 0, last: null };
  const onRecord = (bytes) => {
    kept.last = bytes;
    // The third byte says what it is of: 0 a decision.
    if (bytes[2] !== 0) return;
    kept.bytes += bytes.length;
    kept.decisions++;
  };
  const open = async (bundle, records) => {
    const reranker = create({ bundle, wasm, clock: () => now, ...records });
    const { reason, detail } = await reranker.ready;
    if (reason) throw new Error(`${reason}: ${detail}`);
    const session = reranker.session();
    return { reranker, session, list: session.prepare(JSON.parse(text)) };
  };
  const [whole, plain] = [await open(bundles.whole), await open(bundles.plain)];
  const recorded = await open(bundles.whole, { onRecord, consent: "full" });
  const taken = {};
  const note = (round, name, ms) => {
    if (round >= 0) (taken[name] ??= []).push(ms);
    return ms;
  };
  let rowsRun = 0;
  for (let round = -WARM; round < rounds; round++) {
    now += STEP_MS;
    const event = eventOf(round + WARM, request.candidates, now);
    // In another order each round: what runs first finds the caches as the round before left them.
    const turn = ((round % 3) + 3) % 3;
    const places = [whole, plain, recorded];
    const found = [];
    for (let i = 0; i < 3; i++) found[(i + turn) % 3] = rankOnce(places[(i + turn) % 3], event, now);
    const [own, bare, told] = found;
    note(round, "observe", own.observe);
    note(round, "rerank", own.rerank);
    note(round, "scores", bare.rerank);
    note(round, "policy", own.rerank - bare.rerank);
    note(round, "unchanged", own.unchanged);
    note(round, "record", told.rerank - own.rerank);
    note(round, "whole", told.observe + told.rerank);
    if (round % 10 === 0) note(round, "reader", readOnce(whole, now, readDecision));
    if (round >= 0) rowsRun += own.rowsRun / request.candidates.length / rounds;
    const fresh = JSON.parse(text);
    const at = performance.now();
    const list = whole.session.prepare(fresh);
    note(round, "prepare", performance.now() - at);
    if (round === 0 && list.rerank({ now }).source !== "model") throw new Error("the list is not the model's");
    list.dispose();
  }
  // Two re-ranks a round, each with a record of its own.
  if (kept.decisions !== 2 * (rounds + WARM)) throw new Error(`${kept.decisions} records of ${2 * (rounds + WARM)} decisions`);
  for (const { reranker } of [whole, plain, recorded]) reranker.dispose();
  const stages = Object.fromEntries(Object.entries(taken).map(([name, times]) => [name, summary(times)]));
  return { rounds, rowsRun, recordBytes: kept.bytes / kept.decisions, stages };
}

function eventOf(at, candidates, time) {
  const type = KINDS[at % KINDS.length];
  if (type === "edit") return { type, field: "daily_budget", value: at, time };
  const { id } = candidates[(at * 7) % candidates.length];
  return type === "dwell" ? { type, candidate: id, value: 1500, time } : { type, candidate: id, time };
}

/** One event and what follows from it; every time is of one call. */
function rankOnce({ session, list }, event, now) {
  const times = [performance.now()];
  const lap = () => times.push(performance.now());
  const { accepted } = session.observe(event);
  lap();
  const ranking = list.rerank({ now });
  lap();
  list.rerank({ now });
  lap();
  if (!accepted || ranking.source !== "model") throw new Error(`${ranking.reason}: ${ranking.detail}`);
  const [observe, rerank, unchanged] = times.slice(1).map((time, at) => time - times[at]);
  return { observe, rerank, unchanged, rowsRun: ranking.rowsRun };
}

/** The record of a decision as JSON, read from its bytes. */
function readOnce({ list }, now, readDecision) {
  const ranking = list.rerank({ now });
  const at = performance.now();
  const record = readDecision(ranking.record());
  const took = performance.now() - at;
  if (record?.items.length !== ranking.items.length) throw new Error("no record");
  return took;
}

function summary(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  return { median: at(0.5), p99: at(0.99) };
}

// What is the same in Node and in a page: the check that engines agree, and taking turns.

import { RANKLET, WEB, listOf } from "./engines.mjs";
import { bareLoop } from "./tile.mjs";

/** The lengths of list that are measured, and those of a prepared one. */
export const ROWS = [1, 10, 50, 100, 500, 1000, 5000];
export const PREPARED_ROWS = [100, 1000];

/** The lengths that weights of 8 bits are measured at. */
export const INTEGER_ROWS = [10, 100, 1000];

/** |difference| <= BOUND max(1, |expected|): the bound of the design for dense layers. */
const BOUND = 1e-5;

/** Weights of 8 bits are others: what they may do to a score. */
const INTEGER_BOUND = 0.05;

/** A peer whose call would take longer is of no use for a comparison and costs the others their turns. */
const TOO_SLOW_MS = 300;

/** Rounds that are taken however long they last: fewer have no median. */
const LEAST_ROUNDS = 5;

/**
 * Every length of list, and the prepared ones where the model has some, and those by weights of 8 bits where there are such:
 * `{ lists, prepared, integers, absent }`. A peer that cannot run the model, or not at this length in reasonable time, is left
 * out with its reason; ranklet and onnxruntime-web must agree with ONNX Runtime.
 *
 * @param engines what could be opened; ranklet first, where it could
 * @param small ranklet with weights of 8 bits, if any: beside the peers' f32
 * @param data { whole: { input: values }, expected: { output: values } } of the longest list
 * @param tile the bare loop's wasm module
 * @param note called with every list measured
 */
export async function measureModel(model, engines, small, data, tile, effort, note = () => {}) {
  const absent = {};
  let present = engines;
  const lists = [];
  for (const rows of ROWS) {
    const admitted = await admit(model, tooSlow(present, lists.at(-1), rows, absent), data, rows, absent);
    present = admitted.engines;
    const [list, loops] = [listOf(model, data.whole, rows), await bareLoop(tile, model.layers, rows)];
    const taken = await takeTurns([...present, ...loops], list, effort);
    await sameAfterwards(model, present, list);
    lists.push({ rows, difference: admitted.difference, ...taken });
    note(lists.at(-1), "");
  }
  const prepared = [];
  const [own, ...peers] = present;
  for (const rows of own?.name === RANKLET && model.preparedInputs.length > 0 ? PREPARED_ROWS : []) {
    const list = listOf(model, data.whole, rows, model.preparedInputs);
    const ours = own.prepared(model, list);
    const difference = await agree(model, ours, list, data.expected);
    const taken = await takeTurns([ours, ...peers], list, effort);
    await sameAfterwards(model, [ours, ...peers], list);
    prepared.push({ rows, difference, ...taken });
    ours.dispose();
    note(prepared.at(-1), "prepared");
  }
  const integers = [];
  for (const rows of small ? INTEGER_ROWS : []) {
    const list = listOf(model, data.whole, rows);
    const difference = await agree(model, small, list, data.expected, INTEGER_BOUND);
    const beside = [small, ...peers];
    const taken = await takeTurns(beside, list, effort);
    await sameAfterwards(model, beside, list, INTEGER_BOUND);
    integers.push({ rows, difference, ...taken });
    note(integers.at(-1), "8 bits");
  }
  for (const engine of [...engines, ...(small ? [small] : [])]) engine.dispose();
  return { lists, prepared, integers, absent };
}

/** The engines that run this length and agree with ONNX Runtime, and the largest difference. */
async function admit(model, engines, { whole, expected }, rows, absent) {
  const admitted = { engines: [], difference: 0 };
  for (const engine of engines) {
    try {
      const difference = await agree(model, engine, listOf(model, whole, rows), expected);
      admitted.engines.push(engine);
      admitted.difference = Math.max(admitted.difference, difference);
    } catch (error) {
      // A peer's failure is part of the result.
      if (engine.name === RANKLET || engine.name === WEB) throw error;
      absent[engine.name] = firstLine(error);
    }
  }
  return admitted;
}

/** Without the peers of which one call would take longer than TOO_SLOW_MS, by the length before. */
function tooSlow(engines, last, rows, absent) {
  return engines.filter(({ name }) => {
    const ms = last?.engines[name]?.ms ?? 0;
    if (name === RANKLET || name === WEB || (ms * rows) / (last?.rows ?? rows) <= TOO_SLOW_MS) return true;
    absent[name] = `beyond ${last.rows} rows: a call of these took ${ms.toFixed(0)} ms`;
    return false;
  });
}

/** An error as one line of the document. */
export const firstLine = (error) => String(error?.message ?? error).split("\n")[0].slice(0, 300);

/** The largest relative difference of an engine's outputs from ONNX Runtime's native ones. Throws beyond the bound. */
async function agree(model, engine, list, expected, bound = BOUND) {
  const outputs = await engine.outputs(list);
  const differences = model.outputs.filter(({ name }) => expected[name]).map(({ name }) => {
    const place = `${engine.name}, ${model.name}, ${list.rows} rows, output ${name}`;
    const wanted = expected[name].subarray(0, (expected[name].length / ROWS.at(-1)) * list.rows);
    if (outputs[name]?.length !== wanted.length) throw new Error(`${place}: ${outputs[name]?.length ?? "no"} values`);
    return difference(outputs[name], wanted, place, bound);
  });
  return Math.max(...differences);
}

/** ranklet gives what onnxruntime-web gives on the inputs as the measurement left them: it answered from no memory. */
async function sameAfterwards(model, engines, list, bound = BOUND) {
  const [own, web] = [RANKLET, WEB].map((wanted) => engines.find(({ name }) => name === wanted));
  if (!own || !web) return;
  const [ours, theirs] = [await own.outputs(list), await web.outputs(list)];
  for (const [name, values] of Object.entries(theirs)) {
    const place = `${model.name}, ${list.rows} rows, output ${name} after the measurement`;
    if (ours[name]?.length !== values.length) throw new Error(`${place}: ${ours[name]?.length ?? "no"} values`);
    difference(Array.from(ours[name], Number), Array.from(values, Number), place, bound);
  }
}

function difference(values, expected, place, bound) {
  let worst = 0;
  for (let i = 0; i < values.length; i++) {
    const relative = Math.abs(values[i] - expected[i]) / Math.max(1, Math.abs(expected[i]));
    // Written so that a NaN fails.
    if (!(relative <= bound)) throw new Error(`${place}: element ${i} is ${values[i]} and not ${expected[i]}`);
    worst = Math.max(worst, relative);
  }
  return worst;
}

/**
 * Medians of ms per call. The engines take turns in short batches, forwards and backwards, so that whatever else the
 * machine does falls on all of them alike.
 *
 * @param effort { warmMs, batchMs, rounds, budgetMs }
 */
async function takeTurns(engines, list, effort) {
  const calls = [];
  for (const engine of engines) calls.push(await warm(engine, list, effort));
  const taken = engines.map(() => []);
  const start = performance.now();
  for (let round = 0; round < effort.rounds; round++) {
    const order = engines.map((_, i) => (round % 2 === 0 ? i : engines.length - 1 - i));
    for (const i of order) taken[i].push((await engines[i].batch(list, calls[i])) / calls[i]);
    // A long list on a busy machine: enough is enough.
    if (round + 1 >= LEAST_ROUNDS && performance.now() - start > effort.budgetMs) break;
  }
  const own = taken[engines.findIndex(({ name }) => name === RANKLET)];
  const measured = engines.map((engine, i) => ({ engine, times: taken[i] }));
  const [players, loops] = [measured.filter(({ engine }) => !engine.layer), measured.filter(({ engine }) => engine.layer)];
  // Of each round's own pair: what the machine did meanwhile cancels.
  const beside = (times) => quartiles(own.map((ms, round) => times(round) / ms));
  return {
    rounds: taken[0].length,
    engines: Object.fromEntries(players.map(({ engine, times }) => [engine.name, summary(times)])),
    ratios: Object.fromEntries(
      players.filter(({ times }) => own && times !== own).map(({ engine, times }) => [engine.name, beside((round) => times[round])]),
    ),
    bare: loops.map(({ engine, times }) => ({ ...engine.layer, ...summary(times) })),
    // Each layer's own columns at the speed of its panels.
    bareShare: own && loops.length > 0
      ? beside((round) => loops.reduce((sum, { engine, times }) => sum + engine.filled * times[round], 0))
      : undefined,
  };
}

/** Runs until the JavaScript engine has compiled what is hot; gives the calls of one batch. */
async function warm(engine, list, { warmMs, batchMs }) {
  let [spent, calls, each] = [0, 1, Infinity];
  while (spent < warmMs) {
    const ms = await engine.batch(list, calls);
    spent += ms;
    each = Math.min(each, ms / calls);
    calls = Math.min(calls * 2, Math.max(1, Math.ceil(batchMs / Math.max(each, 1e-4))));
  }
  return calls;
}

function summary(times) {
  const { low, median, high } = quartiles(times);
  return { ms: median, low, high };
}

function quartiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q) => {
    const position = q * (sorted.length - 1);
    const [low, part] = [Math.floor(position), position % 1];
    return sorted[low] + part * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
  };
  return { low: at(0.25), median: at(0.5), high: at(0.75) };
}

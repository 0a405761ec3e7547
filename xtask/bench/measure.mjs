// What is the same in Node and in a page: engines behind one face, the check that they agree, and taking turns.

/** The lengths of list that are measured. */
export const ROWS = [1, 10, 50, 100, 500, 1000, 5000];

/** |difference| <= BOUND max(1, |expected|): the bound of the design for dense layers. */
const BOUND = 1e-5;

/** A prime: the changed element wanders over rows and columns. */
const STRIDE = 7919;

/** Engines by the names that the document uses. */
export const RANKLET = "ranklet";
export const WEB = "onnxruntime-web";

export async function openRanklet(createScorer, bundle, wasm) {
  const scorer = await createScorer({ bundle, wasm });
  return {
    name: RANKLET,
    outputs: async (x, rows, columns) => scorer.score({ X: { data: x, dims: [rows, columns] } }),
    async batch(x, rows, columns, calls) {
      const inputs = { X: { data: x, dims: [rows, columns] } };
      const start = performance.now();
      for (let call = 0; call < calls; call++) {
        change(x);
        scorer.score(inputs);
      }
      return performance.now() - start;
    },
  };
}

/** One thread, no proxy. Its tensor is made once and shares the changing array: what costs least. */
export async function openWeb(ort, model) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  return {
    name: WEB,
    outputs: (x, rows, columns) => session.run({ X: new ort.Tensor("float32", x, [rows, columns]) }),
    async batch(x, rows, columns, calls) {
      const inputs = { X: new ort.Tensor("float32", x, [rows, columns]) };
      const start = performance.now();
      for (let call = 0; call < calls; call++) {
        change(x);
        await session.run(inputs);
      }
      return performance.now() - start;
    },
  };
}

let place = 0;

/** An element of the input changes before every call, so that no engine may answer from memory. */
function change(x) {
  place = (place + STRIDE) % x.length;
  x[place] = (place & 255) / 128 - 1;
}

/**
 * The largest relative difference of the engines' outputs on `rows` rows, from each other and from `expected`, the last
 * output as ONNX Runtime computes it natively. Throws where they disagree.
 */
export async function agree(model, engines, x, rows, expected) {
  const all = [];
  for (const engine of engines) all.push(await engine.outputs(x, rows, model.columns));
  const [ours, theirs] = all;
  let worst = 0;
  for (const [name, peer] of Object.entries(theirs)) {
    const own = ours[name];
    const place = `${model.name}, ${rows} rows, output ${name}`;
    if (own === undefined || own.data.length !== peer.data.length) throw new Error(`${place}: ranklet gives another shape`);
    // A label may differ only where two scores are as close as the bound, which these inputs are not.
    worst = Math.max(worst, difference(own.data, peer.data, place));
  }
  const last = Object.values(theirs).at(-1).data.length;
  const score = Object.values(ours).find(({ data }) => data instanceof Float32Array && data.length === last);
  return Math.max(worst, difference(score.data, expected.subarray(0, last), `${model.name}, ${rows} rows, native`));
}

function difference(values, expected, place) {
  let worst = 0;
  for (let i = 0; i < values.length; i++) {
    const [value, wanted] = [Number(values[i]), Number(expected[i])];
    const relative = Math.abs(value - wanted) / Math.max(1, Math.abs(wanted));
    // Written so that a NaN fails.
    if (!(relative <= BOUND)) throw new Error(`${place}: element ${i} is ${value} and not ${wanted}`);
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
export async function takeTurns(engines, x, rows, columns, effort) {
  const calls = [];
  for (const engine of engines) calls.push(await warm(engine, x, rows, columns, effort));
  const taken = engines.map(() => []);
  const start = performance.now();
  for (let round = 0; round < effort.rounds; round++) {
    const order = engines.map((_, i) => (round % 2 === 0 ? i : engines.length - 1 - i));
    for (const i of order) taken[i].push((await engines[i].batch(x, rows, columns, calls[i])) / calls[i]);
    // A long list on a busy machine: enough is enough, but never fewer than can have a median.
    if (round >= 8 && performance.now() - start > effort.budgetMs) break;
  }
  return {
    rounds: taken[0].length,
    engines: Object.fromEntries(engines.map((engine, i) => [engine.name, summary(taken[i])])),
    // Of each round's own pair: what the machine did meanwhile cancels.
    ratios: Object.fromEntries(
      engines.slice(1).map((engine, i) => [engine.name, quartiles(taken[i + 1].map((ms, round) => ms / taken[0][round]))]),
    ),
  };
}

/** Runs until the JavaScript engine has compiled what is hot; gives the calls of one batch. */
async function warm(engine, x, rows, columns, { warmMs, batchMs }) {
  let [spent, calls, each] = [0, 1, Infinity];
  while (spent < warmMs) {
    const ms = await engine.batch(x, rows, columns, calls);
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

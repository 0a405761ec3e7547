// The engines behind one face, in Node and in a page alike:
//
//   { name, outputs(list) -> { name: values }, batch(list, calls) -> ms }
//
// A list is a model's inputs at one length: { rows, inputs: { name: { type, data, dims } }, vary: [names] }.

/** Engines by the names that the document uses. */
export const RANKLET = "ranklet";
export const WEB = "onnxruntime-web";
export const RTEN = "rten";

const ARRAYS = { f32: Float32Array, i64: BigInt64Array };

/** A prime: the changed element wanders over rows and columns. */
const STRIDE = 7919;

/** An input's file as typed values. */
export const typed = (type, bytes) => new ARRAYS[type](bytes.slice().buffer);

/** The inputs that are not a property of one candidate. */
const contextOf = (model) => model.inputs.filter(({ scope }) => scope === "context").map(({ name }) => name);

/**
 * The first `rows` candidates of a model's inputs, copied.
 *
 * @param whole { input: values of the longest list }
 * @param vary the inputs of which an element changes before every call; by default all that may
 */
export function listOf(model, whole, rows, vary = model.inputs.filter((input) => input.varies).map(({ name }) => name)) {
  const inputs = Object.fromEntries(
    model.inputs.map(({ name, type, dims }) => {
      const sizes = dims.map((size) => (size === "N" ? rows : size));
      return [name, { type, data: whole[name].slice(0, sizes.reduce((a, b) => a * b, 1)), dims: sizes }];
    }),
  );
  return { model: model.name, rows, inputs, vary };
}

let place = 0;

/** Changes an element of an input, so that no engine may answer from memory: of one input after the other. */
function changer({ inputs, vary }) {
  const arrays = vary.map((name) => inputs[name].data);
  let turn = 0;
  return () => {
    const values = arrays[turn];
    turn = turn + 1 === arrays.length ? 0 : turn + 1;
    place = (place + STRIDE) % values.length;
    values[place] = (place & 255) / 128 - 1;
  };
}

const dataOf = (tensors) => Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, data]));

/** ranklet's scorer, and the same on lists prepared beforehand. */
export async function openRanklet(createScorer, bundle, wasm) {
  const scorer = await createScorer({ bundle, wasm });
  return {
    name: RANKLET,
    outputs: async ({ inputs }) => dataOf(scorer.score(inputs)),
    async batch(list, calls) {
      const change = changer(list);
      const start = performance.now();
      for (let call = 0; call < calls; call++) {
        change();
        scorer.score(list.inputs);
      }
      return performance.now() - start;
    },
    prepared: (model, list) => preparedRanklet(scorer, model, list),
    dispose: () => scorer.dispose(),
  };
}

/** The candidates' inputs are given once; a call brings the context's. */
function preparedRanklet(scorer, model, { inputs }) {
  const names = contextOf(model);
  const part = (wanted) => Object.fromEntries(Object.entries(inputs).filter(([name]) => names.includes(name) === wanted));
  const [prepared, context] = [scorer.prepare(part(false)), part(true)];
  return {
    name: RANKLET,
    outputs: async () => dataOf(prepared.score(context)),
    async batch(list, calls) {
      const change = changer(list);
      const start = performance.now();
      for (let call = 0; call < calls; call++) {
        change();
        prepared.score(context);
      }
      return performance.now() - start;
    },
    dispose: () => prepared.dispose?.(),
  };
}

const ORT_TYPES = { f32: "float32", i64: "int64" };

/** One thread, no proxy. Its tensors are made once and share the changing arrays: what costs least. */
export async function openWeb(ort, model) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  const tensors = ({ inputs }) =>
    Object.fromEntries(
      Object.entries(inputs).map(([name, { type, data, dims }]) => [name, new ort.Tensor(ORT_TYPES[type], data, dims)]),
    );
  return {
    name: WEB,
    outputs: async (list) => dataOf(await session.run(tensors(list))),
    async batch(list, calls) {
      const [feeds, change] = [tensors(list), changer(list)];
      const start = performance.now();
      for (let call = 0; call < calls; call++) {
        change();
        await session.run(feeds);
      }
      return performance.now() - start;
    },
    dispose: () => session.release(),
  };
}

/** rten's wasm, built by the benchmark (peers/rten). It has no 64-bit integers, as its documentation says. */
export async function openRten(module, model, onnx) {
  const { exports } = await WebAssembly.instantiate(module, {});
  const bytes = (at, length) => new Uint8Array(exports.memory.buffer, at, length);
  const must = (answer) => {
    if (answer >= 0) return answer;
    throw new Error(new TextDecoder().decode(bytes(exports.message(), exports.message_length())));
  };
  const fill = (...parts) => {
    let at = exports.scratch(parts.reduce((sum, part) => sum + part.byteLength, 0));
    for (const part of parts) {
      bytes(at, part.byteLength).set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
      at += part.byteLength;
    }
  };
  fill(onnx);
  must(exports.load());
  // The inputs of one list at a time; `bind` where the list is another one.
  let bound;
  const bind = (list) => {
    if (bound?.list === list) return bound.slots;
    const slots = Object.entries(list.inputs).map(([name, { type, data, dims }]) => {
      fill(Uint32Array.from(dims), new TextEncoder().encode(name));
      return { at: must(exports.bind(dims.length, type === "i64")), data, integers: type === "i64" };
    });
    bound = { list, slots };
    return slots;
  };
  const run = (slots) => {
    for (const { at, data, integers } of slots) {
      const buffer = [exports.input(at), data.length];
      if (integers) new Int32Array(exports.memory.buffer, ...buffer).set(Int32Array.from(data, Number));
      else new Float32Array(exports.memory.buffer, ...buffer).set(data);
    }
    const count = must(exports.run());
    const values = (i) => new Float32Array(exports.memory.buffer, exports.output(i), exports.output_length(i)).slice();
    return Array.from({ length: count }, (_, i) => values(i));
  };
  return {
    name: RTEN,
    outputs: async (list) => Object.fromEntries(run(bind(list)).map((values, i) => [model.outputs[i].name, values])),
    async batch(list, calls) {
      const [slots, change] = [bind(list), changer(list)];
      const start = performance.now();
      for (let call = 0; call < calls; call++) {
        change();
        run(slots);
      }
      return performance.now() - start;
    },
    dispose: () => {},
  };
}

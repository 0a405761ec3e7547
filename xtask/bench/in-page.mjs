// The part of page.mjs that runs in Chromium.
import { RANKLET, WEB, listOf, openRanklet, openWeb, typed } from "./engines.mjs";
import { measureModel } from "./measure.mjs";

/** A list as one sees it on a page. */
const FIRST = 100;

const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());

/** Everything fetched and imported; what the returned function does is a cold start. */
async function ready(engine, model, form = "") {
  if (engine === RANKLET) {
    const [{ createScorer }, bundle, wasm] = await Promise.all([
      import("/dist/scorer-browser.js"), bytes(`/models/${model.name}${form}.ranklet`), bytes("/dist/scorer.wasm"),
    ]);
    return () => openRanklet(createScorer, bundle, wasm);
  }
  const [ort, onnx, wasm] = await Promise.all([
    import("/web/ort.wasm.bundle.min.mjs"), bytes(`/models/${model.name}.onnx`), bytes("/web/ort-wasm-simd-threaded.wasm"),
  ]);
  ort.env.wasm.wasmBinary = wasm;
  return () => openWeb(ort, onnx);
}

async function wholeOf(model) {
  const read = model.inputs.map(async ({ name, type, file }) => [name, typed(type, await bytes(`/models/${file}`))]);
  return Object.fromEntries(await Promise.all(read));
}

async function expectedOf(model) {
  const known = model.outputs.filter(({ expected }) => expected);
  const read = known.map(async ({ name, expected }) => [name, typed("f32", await bytes(`/models/${expected}`))]);
  return Object.fromEntries(await Promise.all(read));
}

/** Bytes in memory to the scores of a first list, ms. */
export async function cold(model, engine) {
  const [open, whole] = await Promise.all([ready(engine, model), wholeOf(model)]);
  const list = listOf(model, whole, FIRST);
  const start = performance.now();
  const opened = await open();
  await opened.outputs(list);
  return performance.now() - start;
}

/** Both engines in turns on every length of list. */
export async function lists(model, { effort, integers }) {
  const tile = await WebAssembly.compile(await bytes("/models/tile.wasm"));
  const engines = [];
  for (const name of [RANKLET, WEB].filter((name) => !model.absent[name])) engines.push(await (await ready(name, model))());
  const small = integers ? await (await ready(RANKLET, model, ".int8"))() : undefined;
  return measureModel(model, engines, small, { whole: await wholeOf(model), expected: await expectedOf(model) }, tile, effort);
}

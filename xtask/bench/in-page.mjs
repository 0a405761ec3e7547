// The part of page.mjs that runs in Chromium.
import { agree, openRanklet, openWeb, takeTurns } from "./measure.mjs";

/** A list as one sees it on a page. */
const FIRST = 100;

const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
const floats = async (path) => new Float32Array((await bytes(path)).buffer);

/** Everything fetched and imported; what the returned function does is a cold start. */
async function ready(engine, model) {
  if (engine === "ranklet") {
    const [{ createScorer }, bundle, wasm] = await Promise.all([
      import("/dist/browser.js"), bytes(`/models/${model.name}.ranklet`), bytes("/dist/ranklet.wasm"),
    ]);
    return () => openRanklet(createScorer, bundle, wasm);
  }
  const [ort, onnx, wasm] = await Promise.all([
    import("/web/ort.wasm.bundle.min.mjs"), bytes(`/models/${model.name}.onnx`), bytes("/web/ort-wasm-simd-threaded.wasm"),
  ]);
  ort.env.wasm.wasmBinary = wasm;
  return () => openWeb(ort, onnx);
}

/** Bytes in memory to the scores of a first list, ms. */
export async function cold(model, engine) {
  const [open, x] = await Promise.all([ready(engine, model), floats(`/models/${model.name}.f32`)]);
  const list = x.slice(0, FIRST * model.columns);
  const start = performance.now();
  const opened = await open();
  await opened.outputs(list, FIRST, model.columns);
  return performance.now() - start;
}

/** Both engines in turns on every length of list. */
export async function lists(model, { effort, rows }) {
  const engines = [];
  for (const engine of ["ranklet", "onnxruntime-web"]) engines.push(await (await ready(engine, model))());
  const [whole, expected] = [await floats(`/models/${model.name}.f32`), await floats(`/models/${model.name}.expected.f32`)];
  const measured = [];
  for (const count of rows) {
    const x = whole.slice(0, count * model.columns);
    const difference = await agree(model, engines, x, count, expected);
    measured.push({ rows: count, difference, ...(await takeTurns(engines, x, count, model.columns, effort)) });
  }
  return measured;
}

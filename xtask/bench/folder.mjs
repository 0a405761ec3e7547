// The benchmark's folder, read in Node: models.json, models, bundles, inputs and what ONNX Runtime answered.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RANKLET, RTEN, WEB, openRanklet, openRten, openWeb, typed } from "./engines.mjs";

export const bytes = (path) => new Uint8Array(readFileSync(path));

export const modelsOf = (folder) => JSON.parse(readFileSync(join(folder, "models.json"), "utf8"));

/** `{ whole, expected }` of the longest list. */
export function dataOf(folder, model) {
  const whole = model.inputs.map(({ name, type, file }) => [name, typed(type, bytes(join(folder, file)))]);
  const known = model.outputs.filter(({ expected }) => expected);
  const expected = known.map(({ name, expected }) => [name, typed("f32", bytes(join(folder, expected)))]);
  return { whole: Object.fromEntries(whole), expected: Object.fromEntries(expected) };
}

/** Why engines cannot run models, as far as it is known beforehand: `{ model: { engine: reason } }`. */
export function absentOf(folder) {
  const path = join(folder, "absent.json");
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
}

/** Whether there is a bundle of the model with weights of 8 bits. */
export const hasIntegers = (model) => Boolean(model.multiplyAdds) && !model.absent[RANKLET];

/**
 * Reads and imports everything an engine needs for a model; what the function that it gives does is a cold start.
 *
 * @param form of the bundle's name: "" or ".int8"
 */
export async function ready(engine, folder, model, form = "") {
  const onnx = () => bytes(join(folder, `${model.name}.onnx`));
  if (engine === RANKLET) {
    const dist = new URL("../../pkg/dist/", import.meta.url);
    const { createScorer } = await import(new URL("scorer-node.js", dist).href);
    const bundle = bytes(join(folder, `${model.name}${form}.ranklet`));
    const wasm = bytes(fileURLToPath(new URL("scorer.wasm", dist)));
    return () => openRanklet(createScorer, bundle, wasm);
  }
  if (engine === WEB) {
    const ort = await import("onnxruntime-web/wasm");
    ort.env.wasm.wasmBinary = bytes(fileURLToPath(import.meta.resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm")));
    const file = onnx();
    return () => openWeb(ort, file);
  }
  if (engine === RTEN) {
    const [wasm, file] = [bytes(join(folder, "rten.wasm")), onnx()];
    return async () => openRten(await WebAssembly.compile(wasm), model, file);
  }
  throw new Error(`no engine is called ${engine}`);
}

import { makeInstance } from "#compiler";
import type { CompileReport, Compiler, WeightForm } from "./compiler.js";
import { probe, readModule, type Platform, type WasmInput } from "./load.js";
import { RankletError, coded, describe } from "./reasons.js";

export interface CompileOptions {
  /** The text of a SPEC.toml, or an object of the same form: the bundle ranks. Without it the graph alone becomes a bundle that scores. */
  spec?: string | object;
  /** What the specification names by path, calibrators and goldens. The model is the first argument, whatever it is called there. */
  files?: Readonly<Record<string, Uint8Array>>;
  /** ONNX Runtime's inputs and outputs by name, a safetensors file: they decide over our own reading of the graph. */
  golden?: Uint8Array;
  /** Sizes of symbols in inputs' shapes other than the number of candidates, over what the specification says. */
  dims?: Readonly<Record<string, number>>;
  /** How weights are stored, over what the specification says. Default f32. */
  weights?: WeightForm;
  /** How far a score may move for smaller weights, relative to max(1, |score|). Default 0.05. */
  weightsTolerance?: number;
  /** Name of a bundle that scores. Default `model`. */
  name?: string;
  /** Told what was done. What it throws is dropped. */
  onReport?: (report: CompileReport) => void;
  /** The compile module, if it does not lie beside the package's JavaScript. */
  wasm?: WasmInput;
}

/**
 * ONNX bytes to a bundle's, the same to the byte as the command line's. The work itself is one synchronous call: a page
 * with a large model compiles in a worker. Rejects with a `RankletError` whose `code` is `model_unsupported` (its message
 * lists every node that stands in the way), `spec_invalid`, `golden_mismatch`, `schema_mismatch`, `io` (a file that the
 * specification names is not in `files`), or a reason why the compile module did not load.
 */
export type Compile = (onnx: Uint8Array, options?: CompileOptions | string) => Promise<Uint8Array<ArrayBuffer>>;

export function bindCompile(platform: Platform): Compile {
  const load = loader(platform);
  return async (onnx, options = {}) => {
    const given: CompileOptions = typeof options === "string" ? { spec: options } : options;
    const { onReport, wasm } = given;
    const work = job(bytesOf(onnx, "the model"), given);
    const { bundle, report } = await run(load(wasm), work);
    try {
      onReport?.(report);
    } catch {
      // The caller's own affair.
    }
    return bundle;
  };
}

/** The compiled module: the platform's own once for all, a caller's each time. @internal */
export function loader(platform: Platform): (wasm?: WasmInput) => Promise<WebAssembly.Module> {
  const load = async (wasm: WasmInput) => {
    const given = await wasm;
    await probe(given, platform);
    return readModule(given, platform);
  };
  let own: Promise<WebAssembly.Module> | undefined;
  return (wasm) => {
    if (wasm !== undefined) return load(wasm);
    own ??= load(undefined).catch((thrown: unknown) => {
      // The next call may find the network again.
      own = undefined;
      throw thrown;
    });
    return own;
  };
}

/** One synchronous use of a compiler. @internal */
export type Job = (compiler: Compiler) => Uint8Array<ArrayBuffer>;

/** Runs a job in an instance of its own, which may stop anywhere in it. @internal */
export async function run(
  module: Promise<WebAssembly.Module>,
  work: Job,
): Promise<{ bundle: Uint8Array<ArrayBuffer>; report: CompileReport }> {
  const compiled = await module;
  let instance;
  try {
    instance = await makeInstance(compiled);
  } catch (thrown) {
    throw new RankletError("wasm_invalid", describe(thrown));
  }
  try {
    const compiler = new instance.Compiler();
    return { bundle: work(compiler), report: compiler.report() };
  } catch (thrown) {
    throw coded(thrown) ?? stopped(thrown);
  }
}

/** Out of memory, or a stack that a deep graph overflowed: nothing inside could say so. */
function stopped(thrown: unknown): RankletError {
  const message = `the graph is malformed or too large: the compiler stopped (${describe(thrown)}); check it with onnx.checker`;
  return new RankletError("model_unsupported", message);
}

function job(onnx: Uint8Array, options: CompileOptions): Job {
  const { spec, files = {}, name = "model", dims = {}, weights, weightsTolerance } = options;
  const sizes = Object.entries(dims).map(([symbol, size]) => `${symbol}=${size}`).join("\n");
  const golden = options.golden && bytesOf(options.golden, "golden");
  const form = weights === undefined ? undefined : String(weights);
  const tolerance = weightsTolerance === undefined ? undefined : Number(weightsTolerance);
  if (spec === undefined) return (compiler) => compiler.model(String(name), onnx, golden, form, tolerance, sizes);
  // Copied before anything is awaited: the caller's buffers are its own again.
  const given = new Map(Object.entries(files).map(([path, bytes]) => [path, bytesOf(bytes, path)]));
  const read = (path: string) => {
    const bytes = given.get(path);
    if (bytes) return bytes;
    throw new Error(`\`files\` holds ${given.size > 0 ? [...given.keys()].join(", ") : "nothing"}`);
  };
  const [text, written] = typeof spec === "string" ? ([spec, "toml"] as const) : ([jsonOf(spec), "json"] as const);
  return (compiler) => compiler.spec(text, written, onnx, read, golden, form, tolerance, sizes);
}

function jsonOf(spec: object): string {
  try {
    return JSON.stringify(spec);
  } catch (thrown) {
    throw new RankletError("spec_invalid", describe(thrown));
  }
}

function bytesOf(given: unknown, what: string): Uint8Array<ArrayBuffer> {
  if (given instanceof ArrayBuffer) return new Uint8Array(given.slice(0));
  if (ArrayBuffer.isView(given)) {
    return new Uint8Array(given.buffer as ArrayBuffer, given.byteOffset, given.byteLength).slice();
  }
  throw new RankletError("request_invalid", `${what}: neither a Uint8Array nor an ArrayBuffer`);
}

// One cold start in a process of its own: bytes in memory -> first score. V8 keeps compiled modules by their bytes, so a
// second start in one process is not cold.
//
//   node cold.mjs ranklet|onnxruntime-web FOLDER MODEL   prints { ms, memory }
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RANKLET, openRanklet, openWeb } from "./measure.mjs";

/** A list as one sees it on a page; and the longer one after which memory is read. */
const [FIRST, LONG] = [100, 1000];

const [engine, folder, name] = process.argv.slice(2);
const file = (path) => new Uint8Array(readFileSync(path));
const { columns } = JSON.parse(readFileSync(join(folder, "models.json"), "utf8")).find((model) => model.name === name);
const rows = new Float32Array(file(join(folder, `${name}.f32`)).buffer);
const memories = watchMemories();

const open = engine === RANKLET ? await readyRanklet() : await readyWeb();
const start = performance.now();
const opened = await open();
await opened.outputs(rows.slice(0, FIRST * columns), FIRST, columns);
const ms = performance.now() - start;
await opened.batch(rows.slice(0, LONG * columns), LONG, columns, 20);
const memory = Math.max(0, ...[...memories].map(({ buffer }) => buffer.byteLength));
process.stdout.write(`${JSON.stringify({ ms, memory })}\n`);
process.exit(0);

/** Everything read and imported; what is left is timed. */
async function readyRanklet() {
  const dist = new URL("../../pkg/dist/", import.meta.url);
  const { createScorer } = await import(new URL("node.js", dist).href);
  const [bundle, wasm] = [file(join(folder, `${name}.ranklet`)), file(fileURLToPath(new URL("ranklet.wasm", dist)))];
  return () => openRanklet(createScorer, bundle, wasm);
}

async function readyWeb() {
  const ort = await import("onnxruntime-web/wasm");
  const wasm = fileURLToPath(import.meta.resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));
  ort.env.wasm.wasmBinary = file(wasm);
  const model = file(join(folder, `${name}.onnx`));
  return () => openWeb(ort, model);
}

/** Every linear memory that is made or exported from now on. */
function watchMemories() {
  const found = new Set();
  const Memory = WebAssembly.Memory;
  WebAssembly.Memory = class extends Memory {
    constructor(descriptor) {
      super(descriptor);
      found.add(this);
    }
  };
  const note = (instance) => {
    for (const value of Object.values(instance.exports)) if (value instanceof Memory) found.add(value);
    return instance;
  };
  const instantiate = WebAssembly.instantiate;
  WebAssembly.instantiate = async (...given) => {
    const result = await instantiate(...given);
    note(result.instance ?? result);
    return result;
  };
  const Instance = WebAssembly.Instance;
  WebAssembly.Instance = class extends Instance {
    constructor(...given) {
      super(...given);
      note(this);
    }
  };
  return found;
}

// Scores bundles through the package's wasm and compares with the native outputs, bit for bit, all NaNs being one.
// node walk.mjs PACKAGE < [{ name, home, runs }] > { name: what differs }
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const folder = resolve(process.argv[2]);
const { createScorer } = await import(pathToFileURL(join(folder, "scorer-node.js")).href);
const wasm = await WebAssembly.compile(readFileSync(join(folder, "scorer.wasm")));

const ARRAYS = { F32: Float32Array, I32: Int32Array, I64: BigInt64Array, U8: Uint8Array, BOOL: Uint8Array };

/** The tensors of a safetensors file. */
function tensors(path) {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString("utf8"));
  const found = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [start, end] = entry.data_offsets;
    // A copy: a view would need the file's alignment.
    const own = new Uint8Array(bytes.subarray(8 + length + start, 8 + length + end)).buffer;
    found[name] = { data: new ARRAYS[entry.dtype](own), dims: entry.shape };
  }
  return found;
}

/** Bit patterns, all NaNs as one. */
function bits(data) {
  if (!(data instanceof Float32Array)) return data;
  const patterns = new Uint32Array(data.length);
  const canonical = Float32Array.from(data, (value) => (Number.isNaN(value) ? NaN : value));
  patterns.set(new Uint32Array(canonical.buffer));
  return patterns;
}

function difference(native, found) {
  for (const [name, expected] of Object.entries(native)) {
    const own = found[name];
    if (own === undefined) return `output ${name} is missing`;
    if (String(own.dims) !== String(expected.dims)) {
      return `output ${name} has shape [${own.dims}], natively [${expected.dims}]`;
    }
    if (own.data.constructor !== expected.data.constructor) return `output ${name} is a ${own.data.constructor.name}`;
    const [one, two] = [bits(expected.data), bits(own.data)];
    const at = one.findIndex((value, index) => value !== two[index]);
    if (at >= 0) return `output ${name} at ${at} is ${own.data[at]}, natively ${expected.data[at]}`;
  }
  return undefined;
}

async function walk({ home, runs }) {
  const scorer = await createScorer({ bundle: readFileSync(join(home, "graph.ranklet")), wasm });
  try {
    for (const run of runs) {
      const found = scorer.score(tensors(join(home, `${run}.in.safetensors`)));
      const why = difference(tensors(join(home, `${run}.out.safetensors`)), found);
      if (why !== undefined) return `${run}: ${why}`;
    }
    return undefined;
  } finally {
    scorer.dispose();
  }
}

const wrong = {};
for (const job of JSON.parse(await text(process.stdin))) {
  try {
    const why = await walk(job);
    if (why !== undefined) wrong[job.name] = why;
  } catch (thrown) {
    wrong[job.name] = `${thrown.code ?? thrown.name}: ${thrown.message}`;
  }
}
process.stdout.write(JSON.stringify(wrong));

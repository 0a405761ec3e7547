// The side-by-side benchmark in one Node process: ranklet, onnxruntime-web and, in a child, onnxruntime native take turns
// on the same models and rows. `cargo xtask bench` makes the models, calls this and prints what it writes.
//
//   node bench.mjs FOLDER OUT.json [--quick]     with BENCH_PEER, the command of the native peer, as a JSON array
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { RANKLET, ROWS, WEB, agree, openRanklet, openWeb, takeTurns } from "./measure.mjs";
import { chromiumPath, measurePage } from "./page.mjs";

const [folder, out] = process.argv.slice(2);
const quick = process.argv.includes("--quick");
const EFFORT = quick
  ? { warmMs: 60, batchMs: 1, rounds: 11, budgetMs: 500 }
  : { warmMs: 300, batchMs: 1, rounds: 101, budgetMs: 2500 };
const COLD_STARTS = quick ? 3 : 9;

const say = (line) => process.stderr.write(`${line}\n`);
const file = (path) => new Uint8Array(readFileSync(path));
const floats = (path) => new Float32Array(file(path).buffer);
const models = JSON.parse(readFileSync(join(folder, "models.json"), "utf8"));

const { createScorer } = await import(new URL("../../pkg/dist/node.js", import.meta.url).href);
const ort = await import("onnxruntime-web/wasm");
const native = await openNative(JSON.parse(process.env.BENCH_PEER));

const document = {
  date: new Date().toISOString().slice(0, 10),
  quick,
  machine: {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memory: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    loadBefore: loadavg()[0],
  },
  versions: {
    node: process.versions.node,
    v8: process.versions.v8,
    [WEB]: JSON.parse(readFileSync(new URL("node_modules/onnxruntime-web/package.json", import.meta.url), "utf8")).version,
    [native.name]: native.version,
  },
  models: [],
};
for (const model of models) document.models.push(await measure(model));
native.close();
const chromium = chromiumPath();
if (chromium) {
  // A page's clock is coarser: longer batches, fewer of them.
  const effort = { ...EFFORT, batchMs: 5, rounds: quick ? 9 : 41 };
  document.page = await measurePage(chromium, folder, models, { effort, rows: ROWS, coldStarts: quick ? 1 : 5, say });
} else {
  say("no Chromium on this machine: Node alone");
}
document.machine.loadAfter = loadavg()[0];
writeFileSync(out, `${JSON.stringify(document)}\n`);
// onnxruntime-web keeps the process open.
process.exit(0);

async function measure(model) {
  const cold = coldStarts(model);
  const engines = [
    await openRanklet(createScorer, file(join(folder, `${model.name}.ranklet`))),
    await openWeb(ort, file(join(folder, `${model.name}.onnx`))),
    native.of(model),
  ];
  const [whole, expected] = [floats(join(folder, `${model.name}.f32`)), floats(join(folder, `${model.name}.expected.f32`))];
  const lists = [];
  for (const rows of ROWS) {
    const x = whole.slice(0, rows * model.columns);
    const difference = await agree(model, engines.slice(0, 2), x, rows, expected);
    const turns = await takeTurns(engines, x, rows, model.columns, EFFORT);
    lists.push({ rows, difference, ...turns });
    const ms = Object.entries(turns.engines).map(([name, { ms }]) => `${name} ${ms.toPrecision(3)}`);
    say(`${model.title}, ${rows} rows: ${ms.join(", ")} ms`);
  }
  return { ...model, cold, lists };
}

/** Medians over processes of their own, in turns. */
function coldStarts(model) {
  const script = fileURLToPath(new URL("cold.mjs", import.meta.url));
  const taken = { [RANKLET]: [], [WEB]: [] };
  for (let i = 0; i < COLD_STARTS; i++) {
    for (const engine of Object.keys(taken)) {
      const printed = execFileSync(process.execPath, [script, engine, folder, model.name], { encoding: "utf8" });
      taken[engine].push(JSON.parse(printed));
    }
  }
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  return Object.fromEntries(
    Object.entries(taken).map(([engine, starts]) => {
      const ms = median(starts.map((start) => start.ms));
      say(`${model.title}, cold start: ${engine} ${ms.toFixed(1)} ms`);
      return [engine, { ms, memory: median(starts.map((start) => start.memory)) }];
    }),
  );
}

/** The native peer's process: it times itself and is asked for one batch after the other. */
async function openNative([program, ...args]) {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error("the native peer ended; see its message above");
    return JSON.parse(value);
  };
  const { version } = await read();
  const name = "onnxruntime";
  return {
    name,
    version,
    of: (model) => ({
      name,
      async batch(_x, rows, _columns, calls) {
        child.stdin.write(`${JSON.stringify({ model: model.name, rows, calls })}\n`);
        return (await read()).ms;
      },
    }),
    close: () => child.stdin.end(),
  };
}

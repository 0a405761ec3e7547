// The side-by-side benchmark in one Node process: ranklet, onnxruntime-web, rten and, in children, onnxruntime and tract
// native take turns on the same models and inputs. `cargo xtask bench` makes the models, calls this and prints what it
// writes.
//
//   node bench.mjs FOLDER OUT.json [--quick | --full]    with BENCH_PEERS, the native peers' commands: { name: [words] }
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openChild } from "./children.mjs";
import { RANKLET, RTEN, WEB } from "./engines.mjs";
import { absentOf, bytes, dataOf, hasIntegers, modelsOf, ready } from "./folder.mjs";
import { firstLine, measureModel } from "./measure.mjs";
import { chromiumPath, measurePage } from "./page.mjs";

const [folder, out, mode] = process.argv.slice(2);
const [quick, full] = [mode === "--quick", mode === "--full"];
const EFFORT = quick
  ? { warmMs: 40, batchMs: 1, rounds: 11, budgetMs: 250 }
  : { warmMs: 250, batchMs: 1, rounds: 101, budgetMs: 1800 };
// A page's clock is coarser: longer batches, fewer of them.
const PAGE_EFFORT = { ...EFFORT, batchMs: quick ? 2 : 5, rounds: quick ? 9 : 41 };
const COLD_STARTS = quick ? { node: 2, page: 1 } : { node: 7, page: 5 };
/** Of the first model: [rows, calls]. */
const FLAT = quick ? [[1000, 2000]] : full ? [[10, 1_000_000], [1000, 20_000]] : [[1000, 20_000]];

const say = (line) => process.stderr.write(`${line}\n`);
const models = modelsOf(folder).map((model) => ({ ...model, absent: absentOf(folder)[model.name] ?? {} }));
const tile = await WebAssembly.compile(bytes(join(folder, "tile.wasm")));
const children = [];
for (const [name, command] of Object.entries(JSON.parse(process.env.BENCH_PEERS))) {
  children.push(await openChild(name, command));
}

const document = {
  date: new Date().toISOString().slice(0, 10),
  mode: quick ? "quick" : full ? "full" : "normal",
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
    ...Object.fromEntries(children.filter(({ version }) => version).map(({ name, version }) => [name, version])),
  },
  models: [],
  flat: [],
};
for (const model of models) document.models.push(await measure(model));
for (const child of children) child.close();
for (const [rows, calls] of FLAT) {
  if (models[0].absent[RANKLET]) break;
  const printed = runScript("flat.mjs", folder, models[0].name, String(rows), String(calls));
  document.flat.push(printed);
  say(`${models[0].title}, ${rows} rows, ${calls} calls: ${printed.before} -> ${printed.after} bytes of linear memory`);
}
const chromium = chromiumPath();
if (chromium) {
  const options = { effort: PAGE_EFFORT, coldStarts: COLD_STARTS.page, say };
  document.page = await measurePage(chromium, folder, models, options);
} else {
  say("no Chromium on this machine: Node alone");
}
document.machine.loadAfter = loadavg()[0];
writeFileSync(out, `${JSON.stringify(document)}\n`);
// onnxruntime-web keeps the process open.
process.exit(0);

async function measure(model) {
  const { engines, absent } = await openAll(model);
  const cold = coldStarts(model, engines.map(({ name }) => name).filter((name) => [RANKLET, WEB, RTEN].includes(name)));
  const note = ({ rows, engines }, how) => {
    const ms = Object.entries(engines).map(([name, { ms }]) => `${name} ${ms.toPrecision(3)}`);
    say(`${model.title}, ${rows} rows${how && `, ${how}`}: ${ms.join(", ")} ms`);
  };
  const small = hasIntegers(model) ? await (await ready(RANKLET, folder, model, ".int8"))() : undefined;
  const measured = await measureModel(model, engines, small, dataOf(folder, model), tile, EFFORT, note);
  const absentees = { ...absent, ...measured.absent };
  for (const [name, reason] of Object.entries(absentees)) say(`${model.title}: ${name} is absent: ${reason}`);
  return { ...model, ...measured, cold, absent: absentees };
}

/** Every engine that opens the model, ranklet first; why the others do not. */
async function openAll(model) {
  const [engines, absent] = [[], { ...model.absent }];
  for (const name of [RANKLET, WEB, RTEN].filter((name) => !absent[name])) {
    try {
      engines.push(await (await ready(name, folder, model))());
    } catch (error) {
      absent[name] = firstLine(error);
    }
  }
  return { engines: [...engines, ...children.map((child) => child.of(model))], absent };
}

/** Medians over processes of their own, in turns. */
function coldStarts(model, names) {
  const taken = Object.fromEntries(names.map((name) => [name, []]));
  const starts = () => {
    for (const name of Object.keys(taken)) {
      try {
        taken[name].push(runScript("cold.mjs", name, folder, model.name));
      } catch (error) {
        // It opens a model that it cannot run: the list of engines says so.
        if (name === RANKLET || name === WEB) throw error;
        delete taken[name];
      }
    }
  };
  for (let i = 0; i < COLD_STARTS.node; i++) starts();
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  return Object.fromEntries(
    Object.entries(taken).map(([name, starts]) => {
      const ms = median(starts.map((start) => start.ms));
      say(`${model.title}, cold start: ${name} ${ms.toFixed(1)} ms`);
      return [name, { ms, memory: median(starts.map((start) => start.memory)) }];
    }),
  );
}

/** What a script beside this one prints, in a process of its own. */
function runScript(name, ...args) {
  const script = fileURLToPath(new URL(name, import.meta.url));
  return JSON.parse(execFileSync(process.execPath, [script, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
}

// ranklet's linear memory over many calls of one model, in a process of its own.
//
//   node flat.mjs FOLDER MODEL ROWS CALLS   prints { model, rows, calls, before, after } in bytes
import { RANKLET, listOf } from "./engines.mjs";
import { dataOf, modelsOf, ready } from "./folder.mjs";
import { watchMemories } from "./watch.mjs";

/** Calls before memory is read for the first time. */
const FIRST = 10;

const [folder, name, rows, calls] = process.argv.slice(2);
const model = modelsOf(folder).find((model) => model.name === name);
const largest = watchMemories();
const opened = await (await ready(RANKLET, folder, model))();
const list = listOf(model, dataOf(folder, model).whole, Number(rows));
await opened.batch(list, FIRST);
const before = largest();
await opened.batch(list, Number(calls));
const line = { model: name, rows: Number(rows), calls: Number(calls), before, after: largest() };
process.stdout.write(`${JSON.stringify(line)}\n`);
process.exit(0);

// One cold start in a process of its own: bytes in memory -> first score. V8 keeps compiled modules by their bytes, so a
// second start in one process is not cold.
//
//   node cold.mjs ENGINE FOLDER MODEL   prints { ms, memory }
import { listOf } from "./engines.mjs";
import { dataOf, modelsOf, ready } from "./folder.mjs";
import { watchMemories } from "./watch.mjs";

/** A list as one sees it on a page; and the longer one after which memory is read. */
const [FIRST, LONG] = [100, 1000];

const [engine, folder, name] = process.argv.slice(2);
const model = modelsOf(folder).find((model) => model.name === name);
const { whole } = dataOf(folder, model);
const largest = watchMemories();

const open = await ready(engine, folder, model);
const list = listOf(model, whole, FIRST);
const start = performance.now();
const opened = await open();
await opened.outputs(list);
const ms = performance.now() - start;
await opened.batch(listOf(model, whole, LONG), 20);
process.stdout.write(`${JSON.stringify({ ms, memory: largest() })}\n`);
process.exit(0);

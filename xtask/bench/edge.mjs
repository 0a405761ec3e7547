// node edge.mjs PKG BUNDLE MODELS OUT [--quick]: 100 candidates re-ranked behind HTTP in workerd, under wrk on loopback, beside
// onnxruntime-web on the same model. All times are taken from outside: a worker's own clock stands still while code runs.
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [pkg, bundle, models, out, quick] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const { Miniflare } = createRequire(join(pkg, "package.json"))("miniflare");
const [STARTS, SECONDS] = quick ? [3, 2] : [7, 10];
const ort = join(here, "node_modules/onnxruntime-web/dist");
const read = (path) => readFileSync(path);

/** A hundred different candidates of the recorded requests. */
const requests = readdirSync(join(models, "requests")).map((name) => JSON.parse(read(join(models, "requests", name))));
const candidates = requests.flatMap((one) => one.candidates).slice(0, 100).map((one, at) => ({ ...one, id: `r${at + 1}` }));
const request = { ...requests[0], candidates };
if (candidates.length !== 100) throw new Error("there are not a hundred candidates");

const HELLO = `export default { fetch: () => new Response("hello") };`;

/** Everything a request costs at the edge: a session from a snapshot, features, model, policy, the answer's text. */
const RANKLET = `
  import { createReranker } from "./ranklet.js";
  import bundle from "./bundle.bin";
  import text from "./request.txt";
  let engine;
  let snapshot;
  export default {
    async fetch() {
      if (!engine) {
        engine = createReranker({ bundle });
        await engine.ready;
        const session = engine.session();
        const { candidates } = JSON.parse(text);
        for (let at = 0; at < 50; at++) session.observe({ type: "open", key: candidates[at].key });
        snapshot = session.snapshot();
      }
      const request = JSON.parse(text);
      const session = engine.session({ snapshot });
      const ranking = session.prepare(request).rerank({ now: request.now, rows: 200 });
      const answer = Response.json(ranking.items, { headers: { "x-source": ranking.source } });
      session.dispose();
      return answer;
    },
  };`;

/** The scores alone, from a matrix that is there already: no features, no context, no policy, the same text parsed and written. */
const PEER = `
  const run = async (session, ort, text) => {
    const request = JSON.parse(text);
    const width = WIDTH;
    const data = Float32Array.from({ length: 100 * width }, (_, at) => ((at * 7919) % 1000) / 1000);
    const results = await session.run({ [session.inputNames[0]]: new ort.Tensor("float32", data, [100, width]) }, ["probabilities"]);
    const scores = results.probabilities.data;
    const order = request.candidates.map((_, row) => row).sort((a, b) => scores[2 * b + 1] - scores[2 * a + 1]);
    return JSON.stringify(order.map((row) => request.candidates[row]));
  };`;

const PEER_WORKERD = `
  import module from "./ort.wasm";
  import model from "./model.bin";
  import text from "./request.txt";
  ${PEER}
  // A worker may not compile: what Emscripten would compile was compiled at deployment.
  WebAssembly.instantiate = async (_, imports) => ({ module, instance: new WebAssembly.Instance(module, imports) });
  let session, ort;
  export default {
    async fetch() {
      try {
        if (!session) {
          ort = await import("./ort.mjs");
          Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: new ArrayBuffer(8) });
          session = await ort.InferenceSession.create(new Uint8Array(model));
        }
        return new Response(await run(session, ort, text), { headers: { "x-source": "model" } });
      } catch (thrown) {
        return new Response(String(thrown?.stack ?? thrown), { status: 500 });
      }
    },
  };`;

const PEER_NODE = `
  import { createServer } from "node:http";
  import { readFileSync } from "node:fs";
  const [dist, model, text] = process.argv.slice(1);
  const ort = await import(dist + "/ort.wasm.bundle.min.mjs");
  ${PEER}
  Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: readFileSync(dist + "/ort-wasm-simd-threaded.wasm") });
  const session = await ort.InferenceSession.create(readFileSync(model));
  const request = readFileSync(text, "utf8");
  const server = createServer(async (_, response) => response.setHeader("x-source", "model").end(await run(session, ort, request)));
  server.listen(0, "127.0.0.1", () => console.log("http://127.0.0.1:" + server.address().port + "/"));`;

const RANKLET_NODE = `
  import { createServer } from "node:http";
  import { readFileSync } from "node:fs";
  const [dist, bundle, file] = process.argv.slice(1);
  const { createReranker } = await import(dist + "/node.js");
  const engine = createReranker({ bundle: readFileSync(bundle) });
  await engine.ready;
  const text = readFileSync(file, "utf8");
  const first = engine.session();
  for (const { key } of JSON.parse(text).candidates.slice(0, 50)) first.observe({ type: "open", key });
  const snapshot = first.snapshot();
  const server = createServer((_, response) => {
    const request = JSON.parse(text);
    const session = engine.session({ snapshot });
    const ranking = session.prepare(request).rerank({ now: request.now, rows: 200 });
    response.setHeader("x-source", ranking.source).end(JSON.stringify(ranking.items));
    session.dispose();
  });
  server.listen(0, "127.0.0.1", () => console.log("http://127.0.0.1:" + server.address().port + "/"));`;

const text = JSON.stringify(request);
const textFile = `${out}.request`;
writeFileSync(textFile, text);
const model = join(models, "ranker.onnx");

/** Columns of the model's input: the width of its golden rows. */
function width() {
  const file = read(join(models, "golden.safetensors"));
  const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE(0))));
  const shapes = Object.entries(header).filter(([name, { shape }]) => /X/.test(name) && shape?.length === 2);
  return shapes[0][1].shape[1];
}
const filled = (script) => script.replaceAll("WIDTH", String(width()));

const esm = (path, contents) => ({ type: "ESModule", path, contents });
const data = (path, contents) => ({ type: "Data", path, contents });
const requestModule = { type: "Text", path: "request.txt", contents: text };
const inWorkerd = {
  "an empty worker": [esm("main.js", HELLO)],
  ranklet: [
    esm("main.js", RANKLET), esm("ranklet.js", read(join(pkg, "dist/workerd.js")).toString()),
    { type: "CompiledWasm", path: "ranklet.wasm", contents: read(join(pkg, "dist/ranklet.wasm")) }, data("bundle.bin", read(bundle)), requestModule,
  ],
  "onnxruntime-web": [
    esm("main.js", filled(PEER_WORKERD)), esm("ort.mjs", read(join(ort, "ort.wasm.bundle.min.mjs")).toString()),
    { type: "CompiledWasm", path: "ort.wasm", contents: read(join(ort, "ort-wasm-simd-threaded.wasm")) }, data("model.bin", read(model)), requestModule,
  ],
};
const inNode = {
  ranklet: ["--input-type=module", "-e", RANKLET_NODE, join(pkg, "dist"), bundle, textFile],
  "onnxruntime-web": ["--input-type=module", "-e", filled(PEER_NODE), ort, model, textFile],
};

/** The youngest process that this one started, by its name. */
function child(name) {
  const pids = execFileSync("pgrep", ["-n", "-P", String(process.pid), name], { encoding: "utf8" }).trim();
  return Number(pids);
}
const resident = (pid) => Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`).toString())[1]) / 1024;

/** Starts something, waits for its first whole answer. */
async function started(host, name) {
  const began = performance.now();
  if (host === "workerd") {
    const mf = new Miniflare({ modules: inWorkerd[name], compatibilityDate: "2026-04-01" });
    const url = String(await mf.ready);
    return { began, url, pid: child("workerd"), end: () => mf.dispose() };
  }
  const process_ = spawn(process.execPath, inNode[name], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((told, failed) => {
    process_.stdout.once("data", (chunk) => told(String(chunk).trim()));
    process_.once("exit", () => failed(new Error(`${name} in Node ended`)));
  });
  return { began, url, pid: process_.pid, end: () => process_.kill() };
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** wrk's own words as numbers; times in ms. */
function load(url, connections) {
  const said = execFileSync("wrk", ["-t1", `-c${connections}`, `-d${SECONDS}s`, "--latency", url], { encoding: "utf8" });
  const ms = (percent) => {
    const [, value, unit] = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(said);
    return Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit];
  };
  if (/Non-2xx/.test(said)) throw new Error(said);
  return { p50: ms(50), p99: ms(99), perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(said)[1]) };
}

async function measure(host, name) {
  const starts = [];
  for (let at = 0; at < STARTS; at++) {
    const one = await started(host, name);
    const response = await fetch(one.url);
    const body = await response.text();
    if (!response.ok) {
      await one.end();
      return { host, name, failed: body.split("\n")[0] };
    }
    if (name !== "an empty worker" && response.headers.get("x-source") !== "model") throw new Error(`${name}: ${response.headers.get("x-source")}`);
    starts.push(performance.now() - one.began);
    await one.end();
  }
  const one = await started(host, name);
  await (await fetch(one.url)).text();
  const fresh = resident(one.pid);
  load(one.url, 1);
  const [alone, eight] = [load(one.url, 1), load(one.url, 8)];
  const used = resident(one.pid);
  await one.end();
  return { host, name, startMs: median(starts), freshMB: fresh, usedMB: used, alone, eight };
}

const rows = [];
for (const name of Object.keys(inWorkerd)) rows.push(await measure("workerd", name));
for (const name of Object.keys(inNode)) rows.push(await measure("Node", name));
writeFileSync(out, JSON.stringify({ cpu: cpus()[0].model, node: process.version, candidates: 100, requestBytes: text.length, rows }, null, 2) + "\n");

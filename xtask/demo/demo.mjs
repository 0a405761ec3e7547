// One real re-rank of a recorded request, before and after its events, by the built package in Node.
//
//   RANKLET_BUNDLE=FILE.ranklet node xtask/demo/demo.mjs [--json]
//   RANKLET_BREAK=bundle|wasm shows what a page does when loading fails.
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { table, title } from "./table.mjs";

/** Enough to see why the order moved. */
const SHOWN_EVENTS = 8;

const root = fileURLToPath(new URL("../..", import.meta.url));
const json = process.argv.includes("--json");
const broken = process.env.RANKLET_BREAK ?? "";
if (!["", "bundle", "wasm"].includes(broken)) {
  process.stderr.write(`error: RANKLET_BREAK=${broken} is not known, environment, use \`bundle\` or \`wasm\`\n`);
  process.exit(2);
}

const model = join(root, "models/ads-recs");
const request = JSON.parse(readFileSync(join(model, "requests/01.json"), "utf8"));
// The session's own events up to the request's time, as the command line reads them.
const events = readFileSync(join(model, "events/01.jsonl"), "utf8")
  .split("\n")
  .filter((line) => line.trim() !== "")
  .map((line) => JSON.parse(line))
  .filter((event) => (event.session ?? request.session) === request.session && event.time <= request.now);

const whole = readFileSync(process.env.RANKLET_BUNDLE ?? join(root, "target/ranklet/ads-recs.ranklet"));
const bytes = broken === "bundle" ? whole.subarray(0, Math.floor(whole.length * 0.6)) : whole;

const dist = join(root, "pkg/dist");
const folder = broken === "wasm" ? withoutWasm(dist) : dist;
try {
  const { createReranker } = await import(pathToFileURL(join(folder, "node.js")).href);
  const { readDecision } = await import(pathToFileURL(join(folder, "records.js")).href);
  const result = await rerank(createReranker({ bundle: bytes }), readDecision);
  if (json) {
    process.stdout.write(`${JSON.stringify({ before: result.before.record, after: result.after.record })}\n`);
  } else {
    print(result);
  }
} finally {
  if (folder !== dist) rmSync(folder, { recursive: true });
}

/** A copy of the package whose wasm file is not there. */
function withoutWasm(from) {
  const copy = mkdtempSync(join(tmpdir(), "ranklet-demo-"));
  cpSync(from, copy, { recursive: true, filter: (file) => !file.endsWith("ranklet.wasm") });
  // The file that says its .js files are modules lies one folder above dist.
  cpSync(join(from, "../package.json"), join(copy, "package.json"));
  return copy;
}

async function rerank(reranker, readDecision) {
  const status = await reranker.ready;
  const session = reranker.session({ key: request.session });
  const list = session.prepare(request);
  const ranked = () => {
    const start = performance.now();
    const ranking = list.rerank({ now: request.now });
    const ms = performance.now() - start;
    return { ranking, ms, record: readDecision(ranking.record()) };
  };
  const before = ranked();
  for (const event of events) session.observe(event);
  const after = ranked();
  reranker.dispose();
  return { status, before, after };
}

function print({ status, before, after }) {
  const out = (text) => process.stdout.write(`${text}\n`);
  const acts = events.filter((event) => event.type !== "impression");
  out(`\n${request.candidates.length} recommendations of a server, re-ranked on the device after ${events.length} local events`);
  out(`${events.length - acts.length} of them impressions; the last of the others:\n`);
  for (const event of acts.slice(-SHOWN_EVENTS)) out(`  ${sentence(event)}`);
  out("");
  out(table(before.ranking.entries, after.ranking.entries));
  const { ranking, ms } = after;
  const digest = status.bundle?.digests.bundle ?? `${createHash("sha256").update(bytes).digest("hex")} (not opened)`;
  out(`source: ${ranking.source}`);
  out(`reason: ${ranking.reason ?? "none"}`);
  if (ranking.detail) out(`detail: ${ranking.detail}`);
  out(`time: ${ms.toFixed(2)} ms`);
  out(`bundle: ${digest}`);
  out(`runtime: node ${process.version}, wasm simd128, pkg/dist/ranklet.wasm`);
}

/** An event as one reads it; its candidate may be of an earlier response. */
function sentence(event) {
  const about = request.candidates.find((c) => String(c.key ?? c.id) === String(event.key) || c.id === event.candidate);
  const ago = Math.max(0, Math.round((request.now - event.time) / 1000));
  const object = about ? title(about) : (event.key ?? event.field ?? event.surface);
  const value = event.type === "dwell" ? `${(event.value / 1000).toFixed(0)} s` : event.value;
  const what = [event.type, event.type === "search" ? undefined : object, event.reason ?? value];
  return `${`${ago} s ago`.padStart(9)}  ${what.filter((part) => part !== undefined && part !== null).join(" · ")}`;
}

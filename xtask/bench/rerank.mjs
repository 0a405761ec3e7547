// The whole re-rank by stage, in Node and, where there is one, in Chromium.
//
//   node rerank.mjs FOLDER OUT.json [--quick]    FOLDER: spec.ranklet, plain.ranklet, request.json
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { inChromium, chromiumPath } from "./page.mjs";
import { measureStages } from "./stages.mjs";

const [folder, out, mode] = process.argv.slice(2);
const ROUNDS = mode === "--quick" ? 500 : 3000;
const dist = new URL("../../pkg/dist/", import.meta.url);
const loadBefore = loadavg()[0];

const [{ createReranker }, { readDecision }] = await Promise.all(["node.js", "records.js"].map((name) => import(new URL(name, dist).href)));
const bundles = { whole: readFileSync(join(folder, "spec.ranklet")), plain: readFileSync(join(folder, "plain.ranklet")) };
const node = await measureStages({ createReranker, readDecision }, bundles, undefined, readFileSync(join(folder, "request.json"), "utf8"), ROUNDS);
const date = new Date().toISOString().slice(0, 10);
const document = { date, cpu: cpus()[0]?.model.trim() ?? "unknown", loadBefore, places: { [`Node ${process.versions.node}`]: node } };

const chromium = chromiumPath();
if (chromium) {
  await inChromium(chromium, folder, async (fresh) => {
    const { page, version, close } = await fresh();
    const measured = await page.evaluate(async (rounds) => {
      const [{ createReranker }, { readDecision }, { measureStages }] = await Promise.all(
        ["/dist/browser.js", "/dist/records.js", "/bench/stages.mjs"].map((name) => import(name)),
      );
      const get = async (name, how) => (await fetch(`/models/${name}`))[how]();
      const bundles = { whole: await get("spec.ranklet", "arrayBuffer"), plain: await get("plain.ranklet", "arrayBuffer") };
      return measureStages({ createReranker, readDecision }, bundles, undefined, await get("request.json", "text"), rounds);
    }, ROUNDS);
    document.places[`Chromium ${version}`] = measured;
    await close();
  });
} else {
  process.stderr.write("no Chromium on this machine: Node alone\n");
}
document.loadAfter = loadavg()[0];
writeFileSync(out, `${JSON.stringify(document)}\n`);

// Memory of a page that lives for days: 10,000 cycles of three lists, the account switched, everything mounted twice.
// RANKLET_CYCLES=10000 is the whole of it; by default a tenth.
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { transformSync } from "esbuild";
import { expect, test } from "vitest";
import { executablePath, launch, load, open, site } from "./chromium.js";
import { live } from "./cycles.js";
import { bundlePath, dist, request } from "./fixtures.js";

const CYCLES = Number(process.env.RANKLET_CYCLES ?? 1000);
/** Cycles before any that count: what is loaded and compiled at first use stays. */
const WARM = 200;
/** Answers of the model that a cycle asks for. */
const MODELS = 8;
/** How much the heap may grow from a tenth of the cycles to the last. */
const GROWTH = 0.01;

/** V8 keeps what it compiled in the heap and drops it when it likes; without its compilers what is left is the page's. */
const INTERPRETED = ["--no-opt", "--no-maglev", "--no-sparkplug", "--no-flush-bytecode"];

interface Sample {
  linear: number;
  heap: number;
}

function compare(place: string, early: Sample, late: Sample, models: number): void {
  const mb = ({ linear, heap }: Sample) => `linear ${(linear / 2 ** 20).toFixed(3)} MiB, heap ${(heap / 2 ** 20).toFixed(3)} MiB`;
  const change = (late.heap - early.heap) / early.heap;
  console.log(`${place}: after ${CYCLES / 10} cycles ${mb(early)}; after ${CYCLES} ${mb(late)}; heap ${(100 * change).toFixed(2)} %`);
  expect(models).toBe((WARM + CYCLES) * MODELS);
  expect(early.linear).toBeGreaterThan(0);
  // A new reranker comes every hundred cycles, so both have lived as long: not a byte may differ.
  expect(late.linear).toBe(early.linear);
  expect(change).toBeLessThan(GROWTH);
}

/** Samples of a Node process after a tenth of the cycles and after all of them; with a leak, where one is wanted. */
function inNode(cycles: number, leak = false): { early: Sample; late: Sample; models: number } {
  const script = join(tmpdir(), `ranklet-cycles-${process.pid}.mjs`);
  writeFileSync(
    script,
    `import { readFileSync } from "node:fs";
     import { createReranker } from ${JSON.stringify(pathToFileURL(join(dist, "node.js")).href)};
     const live = ${asText()};
     const bundle = new Uint8Array(readFileSync(${JSON.stringify(bundlePath)}));
     globalThis.kept = ${leak ? "[]" : "undefined"};
     const life = await live(createReranker, bundle, ${JSON.stringify(request())}, kept);
     const sample = async () => {
       // A finaliser's turn after each: what a list held is let go after the list.
       for (let at = 0; at < 6; at++) {
         gc();
         await new Promise((next) => setTimeout(next, 5));
       }
       const { heapUsed, arrayBuffers } = process.memoryUsage();
       return { linear: life.linear(), heap: heapUsed + arrayBuffers };
     };
     let models = await life.run(${WARM + cycles / 10});
     const early = await sample();
     models += await life.run(${cycles - cycles / 10});
     console.log(JSON.stringify({ early, late: await sample(), models }));`,
  );
  const flags = ["--expose-gc", ...INTERPRETED];
  const printed = execFileSync(process.execPath, [...flags, script], { encoding: "utf8" });
  rmSync(script);
  return JSON.parse(printed) as ReturnType<typeof inNode>;
}

test(`Node: memory after ${CYCLES / 10} cycles and after ${CYCLES}`, () => {
  const { early, late, models } = inNode(CYCLES);
  compare("Node", early, late, models);
}, 300_000);

test("a page that keeps its lists would be noticed", () => {
  const { early, late } = inNode(200, true);
  expect(late.heap / early.heap - 1).toBeGreaterThan(10 * GROWTH);
}, 60_000);

test.skipIf(executablePath === undefined)(`Chromium: memory after ${CYCLES / 10} cycles and after ${CYCLES}`, async () => {
  const [browser, host] = await Promise.all([launch(...INTERPRETED), site()]);
  const { page, noise } = await open(browser, host);
  await load(page);
  const devtools = await page.context().newCDPSession(page);
  await page.evaluate(`(async () => {
    const bundle = new Uint8Array(await (await fetch("/ads-recs.ranklet")).arrayBuffer());
    globalThis.life = await (${asText()})(ranklet.createReranker, bundle, ${JSON.stringify(request())});
  })()`);
  const run = (cycles: number) => page.evaluate(`life.run(${cycles})`) as Promise<number>;
  const sample = async (): Promise<Sample> => {
    for (let at = 0; at < 6; at++) {
      await devtools.send("HeapProfiler.collectGarbage");
      await page.evaluate("new Promise((next) => setTimeout(next, 5))");
    }
    const { usedSize } = await devtools.send("Runtime.getHeapUsage");
    return { linear: (await page.evaluate("life.linear()")) as number, heap: usedSize };
  };
  let models = await run(WARM + CYCLES / 10);
  const early = await sample();
  models += await run(CYCLES - CYCLES / 10);
  const late = await sample();
  await browser.close();
  await host.close();
  expect(noise).toEqual([]);
  compare("Chromium", early, late, models);
}, 300_000);

/** `live` as plain JavaScript: what the test runner makes of it names things of its own. */
function asText(): string {
  const { code } = transformSync(`(${live.toString()})`, { loader: "ts", target: "es2022" });
  return code.trim().replace(/;$/, "");
}

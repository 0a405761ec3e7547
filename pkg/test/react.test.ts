// ranklet/react under the real React, 18 and 19, in Chromium.
import { join } from "node:path";
import { build } from "esbuild";
import { renderToString } from "react-dom/server";
import { createElement } from "react";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { executablePath, launch, site, type Site } from "./chromium.js";
import { request, root } from "./fixtures.js";
import { App, type Props } from "./react-app.js";

const FULL = process.env.RANKLET_FULL === "1";
const asked = request("02");
const serverIds = asked.candidates.map(({ id }) => id);
const props: Props = { bundle: "/ads-recs.ranklet", request: asked };
const pkg = join(root, "pkg");

/** V8 keeps what it compiled in the heap, and drops it when it likes. */
const INTERPRETED = ["--no-opt", "--no-maglev", "--no-sparkplug", "--no-flush-bytecode"];

let browser: Browser;
let host: Site;

/** The page's own code: app, React and react-dom of one version, with ranklet beside it. */
async function bundled(react: string): Promise<string> {
  const suffix = react === "18" ? "-18" : "";
  const { outputFiles } = await build({
    entryPoints: [join(pkg, "test/react-page.ts")],
    bundle: true,
    format: "esm",
    write: false,
    define: { "process.env.NODE_ENV": '"development"' },
    alias: { react: join(pkg, `node_modules/react${suffix}`), "react-dom": join(pkg, `node_modules/react-dom${suffix}`) },
    conditions: ["browser"],
    // The runtime lies beside the page's script.
    absWorkingDir: pkg,
  });
  return outputFiles[0]!.text;
}

const SHIFTS = `<script>
  globalThis.shifted = 0;
  new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) if (!shift.hadRecentInput) globalThis.shifted += shift.value;
  }).observe({ type: "layout-shift", buffered: true });
</script>`;

beforeAll(async () => {
  if (executablePath === undefined) return;
  [browser, host] = await Promise.all([launch(...INTERPRETED), site()]);
});

afterAll(async () => {
  await browser?.close();
  await host?.close();
});

test("on a server: the server's order, and nothing is read, timed or written", () => {
  const timer = globalThis.setTimeout;
  let timers = 0;
  globalThis.setTimeout = ((...given: Parameters<typeof timer>) => ((timers += 1), timer(...given))) as typeof timer;
  try {
    const html = renderToString(createElement(App, { ...props, bundle: "/nowhere/at/all.ranklet" }));
    expect([...html.matchAll(/<li id="(\w+)"/g)].map(([, id]) => id)).toEqual(serverIds);
    expect(timers).toBe(0);
  } finally {
    globalThis.setTimeout = timer;
  }
});

describe.skipIf(executablePath === undefined).each(["18", "19"])("React %s", (version) => {
  let noise: string[];

  beforeAll(async () => {
    host.files.set(`/app-${version}.mjs`, await bundled(version));
  });

  async function open(html = ""): Promise<Page> {
    const page = await browser.newPage({ viewport: { width: 800, height: 600 } });
    noise = [];
    page.on("console", (message) => noise.push(message.text()));
    page.on("pageerror", (error) => noise.push(error.message));
    const text = `<!doctype html><link rel=icon href=data:,><body style="margin:0">${SHIFTS}<div id=root>${html}</div>`;
    await page.route("**/page", (route) => route.fulfill({ contentType: "text/html", body: text }));
    await page.goto(host.url("/page"));
    host.asked.length = 0;
    await page.evaluate(`import("/app-${version}.mjs")`);
    expect(await page.evaluate(() => app.version.split(".")[0])).toBe(version);
    return page;
  }

  /** React's hint at its developer tools, which every development build gives. */
  const spoken = () => noise.filter((line) => !/React DevTools/.test(line));

  test("hydrated: the server's order first, what is on screen stays, the model's order below, no shift", async () => {
    const page = await open(renderToString(createElement(App, props)));
    expect(await page.evaluate(() => app.order())).toEqual(serverIds);
    const found = await page.evaluate(async (given) => {
      app.hydrate(given);
      await app.ranked();
      await app.frame();
      const { orders, rankings } = app.probe();
      return { first: orders[0], early: rankings[0] === null, order: app.order(), seen: app.onScreen(), shifts: app.shifts(), errors: app.errors };
    }, props);
    expect(found.first).toEqual(serverIds);
    expect(found.early).toBe(true);
    expect(found.errors).toEqual([]);
    expect(found.seen.length).toBeGreaterThan(3);
    expect(found.order.slice(0, found.seen.length)).toEqual(serverIds.slice(0, found.seen.length));
    expect(found.order).not.toEqual(serverIds);
    expect([...found.order].sort()).toEqual([...serverIds].sort());
    expect(found.shifts).toBe(0);
    expect(spoken()).toEqual([]);
    await page.close();
  });

  test("a page that makes no element known shifts: the measure can fail", async () => {
    const page = await open(renderToString(createElement(App, { ...props, watched: false })));
    const shifts = await page.evaluate(async (given) => {
      app.hydrate(given);
      await app.ranked();
      await app.frame();
      await app.frame();
      return app.shifts();
    }, { ...props, watched: false });
    expect(shifts).toBeGreaterThan(0);
    await page.close();
  });

  test("strict mode: one reranker, loaded once; all is freed with the component", async () => {
    const page = await open();
    const found = await page.evaluate(async (given) => {
      app.mount(given, { strict: true });
      await app.ranked();
      const mounted = app.live();
      app.unmount();
      await app.frame();
      return { mounted, after: app.live(), statuses: app.probe().statuses.map(({ reason }) => reason) };
    }, props);
    expect(found.mounted).toEqual({ rerankers: 1, disposed: 0, sessions: 1, endedSessions: 0 });
    expect(found.after).toEqual({ rerankers: 1, disposed: 1, sessions: 1, endedSessions: 1 });
    expect(found.statuses).toEqual([null]);
    expect(host.asked.filter((path) => /wasm|ranklet$/.test(path)).sort()).toEqual(["/ads-recs.ranklet", "/ranklet.wasm"]);
    expect(spoken()).toEqual([]);
    await page.close();
  });

  test("another key is another reranker, and the one before is freed", async () => {
    const page = await open();
    const found = await page.evaluate(async (given) => {
      app.mount(given);
      await app.ranked();
      const seen = app.probe().rankings.length;
      app.change({}, "two");
      await app.until(() => app.probe().rankings.slice(seen).some((ranking) => ranking?.source === "model"));
      return app.live();
    }, props);
    expect(found).toEqual({ rerankers: 2, disposed: 1, sessions: 2, endedSessions: 1 });
    await page.close();
  });

  test("further pages: what is on screen stays, wherever one has scrolled to, and the page is ranked below", async () => {
    const page = await open();
    const found = await page.evaluate(async (given) => {
      app.mount({ ...given, count: 12 });
      await app.ranked();
      await app.frame();
      scrollTo(0, 500);
      await app.frame();
      await app.frame();
      const [before, seen] = [app.order(), app.onScreen()];
      app.change({ count: given.request.candidates.length });
      await app.until(() => app.order().length === given.request.candidates.length);
      await app.frame();
      await app.frame();
      app.probe().observe!({ type: "dismiss", candidate: app.order().at(-1)! });
      const rankings = app.probe().rankings.length;
      await app.until(() => app.probe().rankings.length > rankings);
      await app.frame();
      const after = app.order();
      return { before, seen, after, shifts: app.shifts(), live: app.live() };
    }, props);
    const last = found.before.indexOf(found.seen.at(-1)!);
    expect(last).toBeGreaterThan(5);
    expect(found.after.slice(0, last + 1)).toEqual(found.before.slice(0, last + 1));
    expect([...found.after].sort()).toEqual([...serverIds].sort());
    expect(found.after.slice(last + 1)).not.toEqual([...found.before.slice(last + 1), ...serverIds.slice(12)]);
    expect(found.shifts).toBe(0);
    expect(found.live.sessions).toBe(1);
    expect(spoken()).toEqual([]);
    await page.close();
  });

  test("refresh ranks what is on screen too", async () => {
    const page = await open(renderToString(createElement(App, props)));
    const found = await page.evaluate(async (given) => {
      app.hydrate(given);
      await app.ranked();
      const held = app.order();
      app.probe().refresh!();
      await app.frame();
      return { held, free: app.order() };
    }, props);
    expect(found.held.slice(0, 3)).toEqual(serverIds.slice(0, 3));
    expect(found.free).not.toEqual(found.held);
    await page.close();
  });

  test("impressions: half visible for a second, and no others", async () => {
    const page = await open();
    const found = await page.evaluate(async (given) => {
      app.mount({ ...given, impressions: true });
      await app.ranked();
      const seen = app.onScreen();
      const [session] = app.probe().sessions;
      const told = () => session!.signals()["local.session.impression.10m"] as number;
      await app.frame();
      const early = told();
      await new Promise((next) => setTimeout(next, 1400));
      const late = told();
      const last = document.getElementById(seen.at(-1)!)!.getBoundingClientRect();
      return { early, late, half: seen.length - (innerHeight - last.top < last.height / 2 ? 1 : 0), order: app.order(), shifts: app.shifts() };
    }, props);
    expect(found.early || 0).toBe(0);
    // Each decays a little meanwhile.
    expect(found.late).toBeGreaterThan(found.half - 0.1);
    expect(found.late).toBeLessThanOrEqual(found.half);
    expect(found.shifts).toBe(0);
    await page.close();
  });

  test.skipIf(version === "18")("hidden and shown again: another reranker, with what the session knew", async () => {
    const page = await open();
    const found = await page.evaluate(async (given) => {
      app.mount(given);
      app.hide(false);
      await app.ranked();
      app.probe().observe!({ type: "open", candidate: given.request.candidates[0]!.id });
      app.hide(true);
      await app.until(() => app.live().endedSessions === 2 || (app.live().disposed > 0 && app.live().endedSessions > 0));
      const away = app.live();
      const seen = app.probe().rankings.length;
      app.hide(false);
      await app.until(() => app.probe().rankings.slice(seen).some((ranking) => ranking?.source === "model"));
      const last = [...app.probe().sessions].at(-1)!;
      return { away, back: app.live(), opens: last.signals()["local.session.open.10m"] };
    }, props);
    expect(found.back.rerankers - found.back.disposed).toBe(1);
    expect(found.opens).toBeGreaterThan(0.9);
    expect(spoken()).toEqual([]);
    await page.close();
  });

  test(`memory is flat over ${FULL ? 10_000 : 100} mounts`, async () => {
    const page = await open();
    const devtools = await page.context().newCDPSession(page);
    const cycles = FULL ? 10_000 : 100;
    const run = (times: number) =>
      page.evaluate(async ({ given, times }) => {
        for (let at = 0; at < times; at++) {
          app.mount(given, { strict: at % 2 === 0 });
          // Half of them leave before anything was loaded.
          if (at % 2 === 0) await app.ranked();
          else await new Promise((next) => setTimeout(next, 0));
          app.unmount();
          await new Promise((next) => setTimeout(next, 0));
        }
      }, { given: { ...props, loadTimeoutMs: 500 }, times });
    const sample = async () => {
      // What strict mode renders twice and drops waits out its time to load, and is gone then.
      await page.evaluate("new Promise((next) => setTimeout(next, 700))");
      for (let at = 0; at < 6; at++) {
        await devtools.send("HeapProfiler.collectGarbage");
        await page.evaluate("new Promise((next) => setTimeout(next, 5))");
      }
      const { usedSize } = await devtools.send("Runtime.getHeapUsage");
      const { nodes, jsEventListeners } = (await devtools.send("Memory.getDOMCounters")) as { nodes: number; jsEventListeners: number };
      return { usedSize, nodes, jsEventListeners };
    };
    await run(Math.max(cycles / 10, 20));
    const early = await sample();
    await run(cycles);
    const late = await sample();
    console.log(`React ${version}: ${JSON.stringify(early)} after the first, ${JSON.stringify(late)} after ${cycles}`);
    // A list that stayed would be some 200 KB, an engine a megabyte of wasm beside it.
    expect(late.usedSize - early.usedSize).toBeLessThan(cycles * 2000);
    expect(late.nodes - early.nodes).toBeLessThan(50);
    expect(late.jsEventListeners).toBeLessThanOrEqual(early.jsEventListeners + 5);
    await page.close();
  }, FULL ? 3_600_000 : 120_000);
});

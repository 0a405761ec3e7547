// <ranked-list> in Chromium, with and without `moveBefore`.
import type {} from "ranklet/element";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { executablePath, launch, load, site, type Site } from "./chromium.js";
import { request, type Candidate } from "./fixtures.js";

const asked = request("02");
const serverIds = asked.candidates.map(({ id }) => id);
const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");

function child({ id, key, type, server_score, features }: Candidate): string {
  const height = 90 + 17 * (Number(id.slice(1)) % 7);
  return `<li data-id="${id}" data-key="${escape(key)}" data-type="${type}" data-server-score="${server_score}"
    data-features="${escape(JSON.stringify(features))}" style="height:${height}px"><input value="about ${id}">
    <button data-observe="dismiss" data-reason="not_now">no</button></li>`;
}

const html = (candidates = asked.candidates, attributes = 'bundle="/ads-recs.ranklet"') => `
  <!doctype html><link rel=icon href=data:,><body style="margin:0"><script>
    globalThis.shifted = 0;
    globalThis.events = [];
    new PerformanceObserver((list) => { for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) globalThis.shifted += value; })
      .observe({ type: "layout-shift", buffered: true });
    for (const type of ["beforerank", "rank"]) addEventListener(type, ({ target, detail }) => globalThis.events.push([type, target.localName, detail.ranking.source, detail.moved.length]));
  </script>
  <ranked-list surface="ads_manager" facts="${escape(JSON.stringify(asked.facts))}" ${attributes} style="display:block">
  <h2 style="margin:0;height:40px">For you</h2>${candidates.map(child).join("\n")}<p id=end>That is all.</p></ranked-list>`;

let browser: Browser;
let host: Site;

beforeAll(async () => {
  if (executablePath === undefined) return;
  [browser, host] = await Promise.all([launch(), site()]);
});

afterAll(async () => {
  await browser?.close();
  await host?.close();
});

describe.skipIf(executablePath === undefined).each([true, false])("moveBefore: %s", (moves) => {
  async function open(text = html(), upgrade = true): Promise<{ page: Page; noise: string[] }> {
    const page = await browser.newPage({ viewport: { width: 800, height: 600 } });
    const noise: string[] = [];
    page.on("console", (message) => noise.push(message.text()));
    page.on("pageerror", (error) => noise.push(error.message));
    if (!moves) await page.addInitScript(() => delete (Element.prototype as { moveBefore?: unknown }).moveBefore);
    await page.route("**/page", (route) => route.fulfill({ contentType: "text/html", body: text }));
    await page.goto(host.url("/page"));
    expect(await page.evaluate(() => "moveBefore" in Element.prototype)).toBe(moves);
    if (upgrade) await page.evaluate('import("/element.js")');
    return { page, noise };
  }

  const order = (page: Page) => page.evaluate(() => [...document.querySelectorAll<HTMLElement>("[data-id]")].map((item) => item.dataset["id"]!));
  const seen = (page: Page) =>
    page.evaluate(() => [...document.querySelectorAll<HTMLElement>("[data-id]")].filter((item) => {
      const { top, bottom } = item.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    }).map((item) => item.dataset["id"]!));
  const shifted = (page: Page) => page.evaluate("globalThis.shifted");
  const ranked = (page: Page) => page.waitForFunction(() => document.querySelector("ranked-list")!.ranking?.source === "model");
  const frames = (page: Page) => page.evaluate(() => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(next, 0)))));

  test("before it is defined the server's order; then what is on screen stays, below it the model's", async () => {
    const { page, noise } = await open(html(), false);
    expect(await order(page)).toEqual(serverIds);
    const visible = await seen(page);
    await page.evaluate('import("/element.js")');
    await ranked(page);
    await frames(page);
    const found = await order(page);
    expect(found.slice(0, visible.length)).toEqual(visible);
    expect(found).not.toEqual(serverIds);
    expect([...found].sort()).toEqual([...serverIds].sort());
    expect(await shifted(page)).toBe(0);
    const events = (await page.evaluate("globalThis.events")) as unknown[][];
    expect(events.at(-1)).toEqual(["rank", "ranked-list", "model", expect.any(Number)]);
    expect(events.some(([type]) => type === "beforerank")).toBe(true);
    // What is no candidate stays at its end.
    expect(await page.evaluate(() => [document.querySelector("ranked-list")!.firstElementChild!.localName, document.querySelector("ranked-list")!.lastElementChild!.id])).toEqual(["h2", "end"]);
    expect(noise).toEqual([]);
    await page.close();
  });

  test("the same order as the same request without a page", async () => {
    const { page } = await open();
    await ranked(page);
    await load(page);
    const expected = await page.evaluate(async (given) => {
      const reranker = ranklet.createReranker<Candidate>({ bundle: "/ads-recs.ranklet" });
      await reranker.ready;
      const { candidates, facts } = given;
      return reranker.session().prepare({ surface: "ads_manager", candidates, facts: facts! }).rerank({ frozen: 0 }).items.map(({ id }) => id);
    }, asked);
    await page.evaluate(() => document.querySelector("ranked-list")!.refresh());
    await frames(page);
    expect(await order(page)).toEqual(expected);
    await page.close();
  });

  test("focus, what is typed and a selection stay, off the screen too, and focus goes in the order of the page", async () => {
    const { page } = await open();
    await ranked(page);
    await frames(page);
    const found = await page.evaluate(async () => {
      const list = document.querySelector("ranked-list")!;
      const items = [...list.querySelectorAll<HTMLElement>("[data-id]")];
      const item = items[15]!;
      const input = item.querySelector("input")!;
      input.focus({ preventScroll: true });
      input.value = "half a sentence";
      input.setSelectionRange(2, 6);
      const before = items.slice(0, 16);
      let lost = 0;
      input.addEventListener("blur", () => (lost += 1));
      // Dismisses one below: the list is due.
      list.observe({ type: "dismiss", candidate: items[17]!.dataset["id"]! });
      await new Promise((done) => list.addEventListener("rank", done, { once: true }));
      const after = [...list.querySelectorAll<HTMLElement>("[data-id]")];
      return {
        kept: document.activeElement === input && input.value === "half a sentence" && input.selectionStart === 2 && input.selectionEnd === 6,
        lost, still: before.every((one, at) => one === after[at]), marked: list.querySelectorAll("[data-suppressed=dismissed]").length,
        tab: after.every((one, at) => at === 0 || !!(after[at - 1]!.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING)),
      };
    });
    expect(found).toEqual({ kept: true, lost: 0, still: true, marked: 1, tab: true });
    await page.close();
  });

  test("a click observes; what is appended is a further page; what is removed is gone; all new is another list", async () => {
    const { page, noise } = await open(html(asked.candidates.slice(0, 12)));
    await ranked(page);
    await frames(page);
    const visible = await seen(page);
    await page.click("[data-id] [data-observe]");
    await page.waitForFunction(() => document.querySelectorAll("[data-suppressed=dismissed]").length === 1);
    expect(await order(page)).toEqual(expect.arrayContaining(visible));
    const before = await order(page);
    await page.evaluate((more) => document.getElementById("end")!.insertAdjacentHTML("beforebegin", more), asked.candidates.slice(12).map(child).join(""));
    await page.waitForFunction((count) => document.querySelector("ranked-list")!.ranking?.items.length === count, serverIds.length);
    const after = await order(page);
    expect(after.slice(0, visible.length)).toEqual(before.slice(0, visible.length));
    expect([...after].sort()).toEqual([...serverIds].sort());
    expect(await shifted(page)).toBe(0);
    await page.evaluate(() => document.querySelector("[data-id]:nth-of-type(20)")!.remove());
    await page.evaluate(() => document.querySelector("ranked-list")!.refresh());
    await frames(page);
    expect((await order(page)).length).toBe(serverIds.length - 1);
    await page.evaluate((next) => (document.querySelector("ranked-list")!.innerHTML = next), asked.candidates.slice(0, 5).map((one) => child({ ...one, id: `n${one.id.slice(1)}` })).join(""));
    await page.waitForFunction(() => document.querySelector("ranked-list")!.ranking?.items.length === 5);
    expect(noise).toEqual([]);
    await page.close();
  });

  test("a page may put the children in order itself", async () => {
    const { page } = await open(html(), false);
    await page.evaluate(() => document.querySelector("ranked-list")!.addEventListener("beforerank", (event) => event.preventDefault()));
    await page.evaluate('import("/element.js")');
    await ranked(page);
    await frames(page);
    expect(await order(page)).toEqual(serverIds);
    await page.evaluate(() => document.querySelector("ranked-list")!.apply());
    expect(await order(page)).not.toEqual(serverIds);
    await page.close();
  });

  test("taken out it frees its engine; moved elsewhere at once it keeps it", async () => {
    const { page, noise } = await open();
    await ranked(page);
    const found = await page.evaluate(async () => {
      const list = document.querySelector("ranked-list")!;
      const before = list.ranking;
      const place = document.body.appendChild(document.createElement("div"));
      place.append(list);
      await new Promise((next) => setTimeout(next, 20));
      const kept = list.ranking !== null;
      list.remove();
      await new Promise((next) => setTimeout(next, 20));
      return { before: before?.source, kept, gone: list.ranking, observed: list.observe({ type: "open", candidate: "r1" }) };
    });
    expect(found).toMatchObject({ before: "model", kept: true, gone: null, observed: { accepted: false } });
    expect(noise).toEqual([]);
    await page.close();
  });
});

test("on a server the import does nothing", async () => {
  const { RankedList } = await import("ranklet/element");
  expect(typeof RankedList).toBe("function");
});

test.skipIf(executablePath === undefined)("no engine: the server's order, and nothing moves", async () => {
  const page = await browser.newPage();
  await page.route("**/page", (route) => route.fulfill({ contentType: "text/html", body: html(asked.candidates, 'bundle="/not-there.ranklet"') }));
  await page.goto(host.url("/page"));
  await page.evaluate('import("/element.js")');
  await page.waitForFunction(() => document.querySelector("ranked-list")!.ranking?.reason === "bundle_fetch_failed" || document.querySelector("ranked-list")!.ranking?.reason === "loading");
  await page.evaluate(() => document.querySelector("ranked-list")!.observe({ type: "dismiss", candidate: "r20" }));
  await page.waitForFunction(() => document.querySelectorAll("[data-suppressed=dismissed]").length === 1);
  expect(await page.evaluate(() => [...document.querySelectorAll<HTMLElement>("[data-id]")].map((item) => item.dataset["id"]!))).toEqual(serverIds);
  await page.close();
});

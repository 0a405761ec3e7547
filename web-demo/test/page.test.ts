import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium, type Browser, type Page } from "playwright-core";
import { build, preview, type PreviewServer } from "vite";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

let server: PreviewServer;
let browser: Browser;
let address: string;
let page: Page;
// What the page said on its console, and what nobody caught.
let noise: string[];

beforeAll(async () => {
  for (const file of ["ads-recs.ranklet", "requests/01.json", "events/01.jsonl"]) {
    if (!existsSync(`${root}public/${file}`)) throw new Error(`public/${file} is not there: run \`cargo xtask test\``);
  }
  await build({ root, logLevel: "warn" });
  server = await preview({ root, logLevel: "warn", preview: { host: "127.0.0.1", port: 0 } });
  address = server.resolvedUrls!.local[0]!;
  const executablePath =
    process.env.CHROMIUM_PATH ?? execFileSync("sh", ["-c", "command -v chromium || command -v google-chrome"], { encoding: "utf8" }).trim();
  browser = await chromium.launch({ executablePath, args: FLAGS });
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

beforeEach(async () => {
  noise = [];
  page = await browser.newPage({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" });
  page.on("console", (message) => noise.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => noise.push(error.message));
  await page.goto(address);
  await page.waitForSelector('#pill[data-source="model"]');
});

afterEach(async () => {
  await page.close();
  expect(noise).toEqual([]);
});

const ids = () => page.$$eval(".card", (cards) => cards.map((card) => (card as HTMLElement).dataset.id));
const serverRanks = () =>
  page.$$eval(".card .server", (texts) => texts.map((text) => Number(/server (\d+)/.exec(text.textContent ?? "")![1])));
const settled = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null)))));

test("the model ranks, and not as the server did", async () => {
  const ranks = await serverRanks();
  expect(ranks.length).toBeGreaterThan(2);
  expect([...ranks].sort((a, b) => a - b)).toEqual(ranks.map((_, at) => at + 1));
  expect(ranks).not.toEqual(ranks.map((_, at) => at + 1));
  expect(await page.textContent("#facts")).toMatch(/the model.*\d\.\d\d ms.*KB.*self-test of \d+ rows passed/s);
  expect(await page.textContent(".card .score")).toMatch(/^\d+\.\d%$/);
});

test("a dismissed card moves, is marked, and comes back", async () => {
  const before = await ids();
  const [first] = before;
  const card = page.locator(`.card[data-id="${first}"]`);
  await card.getByRole("button", { name: "Dismiss" }).click();
  await card.getByRole("button", { name: "Not now" }).click();
  await settled();
  const after = await ids();
  expect(after).not.toEqual(before);
  expect(after.indexOf(first)).toBeGreaterThan(0);
  expect(await card.getAttribute("data-mark")).toBe("dismissed");
  expect(await card.locator(".server").textContent()).toContain("was 1");
  expect(await page.textContent("#announce")).toMatch(/moved from place 1 to \d+/);
  expect(await page.textContent("#log")).toMatch(/dismiss.*not now/);
  await card.getByRole("button", { name: "Undo" }).click();
  await settled();
  expect(await card.getAttribute("data-mark")).toBe("");
});

test("opening, doing and putting off are told and answered", async () => {
  const [, second, third, fourth] = await ids();
  await page.locator(`.card[data-id="${second}"] .title`).click();
  await page.locator(`.card[data-id="${third}"]`).getByRole("button", { name: "Later" }).click();
  await page.locator(`.card[data-id="${fourth}"]`).getByRole("button", { name: "Do it" }).click();
  await settled();
  expect(await page.locator(`.card[data-id="${second}"] .details`).isVisible()).toBe(true);
  expect(await page.locator(`.card[data-id="${third}"]`).getAttribute("data-mark")).toBe("snoozed");
  expect(await page.locator(`.card[data-id="${fourth}"]`).getAttribute("data-mark")).toBe("accepted");
  expect(await page.$$eval("#log .kind", (kinds) => kinds.map((kind) => kind.textContent))).toEqual(["accept", "snooze", "open"]);
});

test("another surface of the same session knows what was done here", async () => {
  const suggested = () => page.$$eval("#beside li", (lines) => lines.map((line) => line.textContent!));
  const before = await suggested();
  expect(before).toHaveLength(3);
  const card = page.locator(".card").filter({ has: page.locator(".title", { hasText: before[0]! }) }).first();
  await card.getByRole("button", { name: "Later" }).click();
  await settled();
  const after = await suggested();
  expect(after).toHaveLength(3);
  expect(after).not.toContain(before[0]);
});

test("frozen cards stay", async () => {
  const before = await ids();
  await page.getByLabel("Keep the first three in place").check();
  await page.locator(`.card[data-id="${before[1]}"]`).getByRole("button", { name: "Later" }).click();
  await settled();
  expect((await ids()).slice(0, 3)).toEqual(before.slice(0, 3));
});

test("a truncated model gives the server's order and says why", async () => {
  await page.getByLabel("The model arrives truncated").check();
  await page.waitForFunction(() => document.getElementById("pill-text")!.textContent!.includes("bundle_corrupt"));
  const ranks = await serverRanks();
  expect(ranks).toEqual(ranks.map((_, at) => at + 1));
  const [first] = await ids();
  const card = page.locator(`.card[data-id="${first}"]`);
  await card.getByRole("button", { name: "Dismiss" }).click();
  await card.getByRole("button", { name: "Not relevant" }).click();
  await settled();
  expect(await card.getAttribute("data-mark")).toBe("dismissed");
  expect(await serverRanks()).toEqual(ranks);
  await page.getByLabel("Nothing").check();
  await page.waitForSelector('#pill[data-source="model"]');
});

test("a missing runtime gives the server's order and says why", async () => {
  await page.getByLabel("The runtime is missing").check();
  await page.waitForFunction(() => document.getElementById("pill-text")!.textContent!.includes("wasm_fetch_failed"));
  const ranks = await serverRanks();
  expect(ranks).toEqual(ranks.map((_, at) => at + 1));
  // The browser itself reports the 404; nothing else may be said.
  expect(noise.splice(0)).toEqual([expect.stringContaining("404")]);
});

test("the keyboard reaches everything, and focus survives a re-rank", async () => {
  const [first] = await ids();
  const card = page.locator(`.card[data-id="${first}"]`);
  await card.getByRole("button", { name: "Dismiss" }).focus();
  await page.keyboard.press("Enter");
  expect(await page.evaluate(() => document.activeElement!.textContent)).toBe("Not relevant");
  await page.keyboard.press("Escape");
  expect(await page.evaluate(() => document.activeElement!.textContent)).toBe("Dismiss");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await settled();
  expect(await page.evaluate(() => document.activeElement!.textContent)).toBe("Undo");
});

test("cards glide to their places, unless the visitor asked for calm", async () => {
  const gliding = async () => {
    await page.evaluate(() => {
      const seen = globalThis as unknown as { glides: number };
      seen.glides = 0;
      const animate = Element.prototype.animate;
      Element.prototype.animate = function (...given) {
        seen.glides += 1;
        return animate.apply(this, given);
      };
    });
    const [first] = await ids();
    await page.locator(`.card[data-id="${first}"]`).getByRole("button", { name: "Later" }).click();
    await settled();
    return page.evaluate(() => (globalThis as unknown as { glides: number }).glides);
  };
  expect(await gliding()).toBe(0);
  await page.emulateMedia({ reducedMotion: "no-preference" });
  await page.reload();
  await page.waitForSelector('#pill[data-source="model"]');
  expect(await gliding()).toBeGreaterThan(3);
});

test("a telephone's width needs no sideways scrolling", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
});

test("the recorded visit plays and moves the list", async () => {
  const before = await ids();
  await page.getByRole("button", { name: /Replay a visit/ }).click();
  await page.waitForFunction(() => document.querySelectorAll("#log .event").length > 3);
  await page.waitForFunction((old) => {
    const now = [...document.querySelectorAll<HTMLElement>(".card")].map((card) => card.dataset.id);
    return now.join() !== old;
  }, before.join());
});

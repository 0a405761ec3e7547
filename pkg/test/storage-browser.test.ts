// Sessions in a real database, over real tabs: a page that is left, tabs at once, `forget` read back from the raw database,
// quota, a database of a newer version, a page that may store nothing.
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test as always } from "vitest";
import { executablePath } from "./chromium.js";
import { bundle, request } from "./fixtures.js";
import { go, launch, open, pages, type Pages } from "./pages.js";

const test = always.skipIf(executablePath === undefined);
const now = request().now;
let browser: Browser;
let host: Pages;
let context: BrowserContext;
const said: string[][] = [];

beforeAll(async () => {
  if (executablePath === undefined) return;
  [browser, host] = await Promise.all([launch(), pages()]);
  host.files.set("/bundle", bundle());
});

afterEach(async () => {
  await context?.close();
  host.headers = {};
  expect(said.splice(0).flat()).toEqual([]);
});

afterAll(async () => {
  await browser?.close();
  await host?.close();
});

interface Held {
  kept: import("ranklet/storage").PersistedSession;
  store: import("ranklet/storage").IndexedDbStore;
  fallbacks: string[];
  problems: string[];
}
declare global {
  // eslint-disable-next-line no-var
  var held: Held;
}

/** Opens the session of the test's user in a page. */
async function begin(page: Page, options: { debounceMs?: number; key?: string } = {}) {
  await page.evaluate(async ({ options: given, time }) => {
    const reranker = ranklet.createReranker({ bundle: "/bundle", clock: () => time });
    await reranker.ready;
    const fallbacks: string[] = [];
    const problems: string[] = [];
    const store = storage.indexedDbStore({ onFallback: (why) => fallbacks.push(why) });
    const kept = await storage.persistSession(reranker, {
      key: "user-7/account-12", store, debounceMs: 100_000, onProblem: ({ code }) => problems.push(code), ...given,
    });
    globalThis.held = { kept, store, fallbacks, problems };
  }, { options, time: now });
}

async function tab(options?: Parameters<typeof begin>[1]): Promise<Page> {
  context ??= undefined as never;
  const { page, noise } = await open(context, host.url("/"));
  said.push(noise);
  await begin(page, options);
  return page;
}

const observe = (page: Page, place: number) =>
  page.evaluate(({ place: at, time }) => held.kept.session.observe({ type: "open", key: `secret-${at}`, surface: "ads_manager", time: time - 1000 + at }).accepted, { place, time: now });

/** How many events the session knows of. */
const count = (page: Page) => page.evaluate((time) => held.kept.session.signals({ now: time })["local.session.events"], now);
const saved = (page: Page) => page.evaluate(() => held.kept.saved());

/** Everything in every database of the origin, as text. */
const raw = (page: Page) =>
  page.evaluate(async () => {
    const whole: unknown[] = [Object.entries(localStorage), Object.entries(sessionStorage), document.cookie];
    for (const { name, version } of await indexedDB.databases()) {
      const database = await new Promise<IDBDatabase>((done, failed) => {
        const asked = indexedDB.open(name!, version);
        asked.onsuccess = () => done(asked.result);
        asked.onerror = () => failed(asked.error!);
      });
      for (const room of database.objectStoreNames) {
        const cursor = database.transaction(room).objectStore(room).openCursor();
        await new Promise<void>((done) => {
          cursor.onsuccess = () => {
            if (!cursor.result) return done();
            whole.push([room, cursor.result.key, cursor.result.value]);
            cursor.result.continue();
          };
        });
      }
      database.close();
    }
    return JSON.stringify(whole);
  });

test("a page that is left at once: what it saw is there when the next one opens", async () => {
  context = await browser.newContext();
  const page = await tab();
  await observe(page, 1);
  // Straight on: neither the debounce nor a save had its turn.
  await observe(page, 2);
  await go(page, host.url("/"));
  await begin(page);
  expect(await count(page)).toBe(2);
  await page.close({ runBeforeUnload: true });
  const next = await tab();
  expect(await count(next)).toBe(2);
  await saved(next);
  expect(await raw(next)).not.toContain("pending");
});

test("tabs at once hear of each other, lose nothing, and count nothing twice", async () => {
  context = await browser.newContext();
  const [one, other] = [await tab({ debounceMs: 30 }), await tab({ debounceMs: 30 })];
  for (let place = 0; place < 40; place++) await observe(place % 2 ? one : other, place);
  await expect.poll(() => count(one)).toBe(40);
  await expect.poll(() => count(other)).toBe(40);
  await Promise.all([saved(one), saved(other)]);
  expect(await count(await tab())).toBe(40);
});

test("tabs that save at the same moment do not overwrite each other, though they hear nothing", async () => {
  context = await browser.newContext();
  await context.addInitScript(() => {
    delete (globalThis as { BroadcastChannel?: unknown }).BroadcastChannel;
  });
  const all = [await tab(), await tab(), await tab()];
  for (let place = 0; place < 30; place++) await observe(all[place % 3]!, place);
  await Promise.all(all.map(saved));
  for (let place = 30; place < 60; place++) await observe(all[place % 3]!, place);
  await Promise.all(all.map(saved));
  expect(await count(await tab())).toBe(60);
});

test("forget leaves nothing in the database, in this tab, in the other, and after both are left", async () => {
  context = await browser.newContext();
  const [one, other] = [await tab({ debounceMs: 20 }), await tab()];
  const bystander = await tab({ key: "user-8" });
  await observe(one, 1);
  await observe(other, 2);
  await observe(bystander, 77);
  await Promise.all([saved(one), saved(other), saved(bystander)]);
  await observe(other, 3);
  // What waits when a page is left is in the database as well.
  await other.evaluate(() => dispatchEvent(new Event("pagehide")));
  expect(await raw(one)).toMatch(/secret-1.*secret-2|secret-2.*secret-1/);
  await one.evaluate(() => held.kept.forget());
  await expect.poll(() => count(other)).toBe(0);
  await saved(other);
  const left = await raw(one);
  expect(left).not.toMatch(/secret-[123]|account-12/);
  expect(left).toContain("secret-77");
  await one.close({ runBeforeUnload: true });
  await go(other, host.url("/"));
  await begin(other);
  expect(await raw(other)).not.toMatch(/secret-[123]|account-12/);
  expect(await count(other)).toBe(0);
});

test("no room: it says so, the page goes on, and what it knows is kept as soon as there is some", async () => {
  context = await browser.newContext();
  const { page, noise } = await open(context, host.url("/"));
  said.push(noise);
  const client = await context.newCDPSession(page);
  // Before anything is written: the browser asks for the room that is left once in a while.
  const limit = (quotaSize: number) => client.send("Storage.overrideQuotaForOrigin", { origin: new URL(host.url("/")).origin, quotaSize });
  await limit(1);
  await begin(page);
  await observe(page, 1);
  await saved(page);
  expect(await page.evaluate(() => [held.problems, held.kept.problem?.code, held.store.fallback])).toEqual([["quota"], "quota", null]);
  expect(await count(page)).toBe(1);
  await limit(50 << 20);
  await saved(page);
  expect(await page.evaluate(() => held.kept.problem)).toBeNull();
  expect(await count(await tab())).toBe(1);
});

test("a page that may store nothing: in memory, and reported", async () => {
  context = await browser.newContext();
  host.headers = { "content-security-policy": "sandbox allow-scripts" };
  const page = await tab();
  await observe(page, 1);
  await saved(page);
  const found = await page.evaluate(() => ({ fallback: held.store.fallback, told: held.fallbacks.length, problem: held.kept.problem }));
  expect(found).toMatchObject({ told: 1, problem: null });
  expect(found.fallback).toMatch(/denied|sandbox|opaque/i);
  expect(await count(page)).toBe(1);
});

test("a database of a newer version is left as it is; the memory takes its place, and says so", async () => {
  context = await browser.newContext();
  const { page, noise } = await open(context, host.url("/"));
  said.push(noise);
  await page.evaluate(() => new Promise<void>((done) => {
    const asked = indexedDB.open("ranklet", 7);
    asked.onupgradeneeded = () => asked.result.createObjectStore("later").put("of the future", "key");
    asked.onsuccess = () => {
      asked.result.close();
      done();
    };
  }));
  await begin(page);
  await observe(page, 1);
  await saved(page);
  expect(await page.evaluate(() => held.store.fallback)).toMatch(/version/i);
  expect(await raw(page)).toContain("of the future");
});

test("whoever deletes the database does not wait for this page, which opens it anew", async () => {
  context = await browser.newContext();
  const page = await tab();
  await observe(page, 1);
  await saved(page);
  const answer = await page.evaluate(() => new Promise((done) => {
    const asked = indexedDB.deleteDatabase("ranklet");
    asked.onsuccess = () => done("deleted");
    asked.onblocked = () => done("blocked");
  }));
  expect(answer).toBe("deleted");
  // That is forgetting, by the browser's own hand.
  await observe(page, 2);
  await saved(page);
  expect(await raw(page)).not.toContain("secret-1");
  await observe(page, 3);
  await saved(page);
  expect(await count(await tab())).toBe(1);
});

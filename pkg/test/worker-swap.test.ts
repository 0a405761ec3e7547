// ranklet/worker: bundles over a reranker's life, by `replace` and by a delivery.
import { RankletError, createReranker, type Delivery, type Entry, type Receiver } from "ranklet";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { executablePath, launch, open, site, type Site } from "./chromium.js";
import { file } from "./failures/files.js";
import { bundle, bundlePath, edited, events, type Candidate } from "./fixtures.js";
import { asked, clock, create, thread } from "./worker-fixtures.js";

/** Another version, whose order and propensities are others where a request has a seed. */
const exploring = () => edited(bundle(), (manifest) => {
  manifest.version += 1;
  manifest.policy.explore = { method: "plackett_luce", strength: 1, first: 3 };
});

describe("bundles over a reranker's life", () => {
  const named = (name: string) => file(`/bundle/${name}`)!.slice();
  const numbers = ({ entries }: { entries: readonly Entry<unknown>[] }) => entries.map(({ id, score, utility, propensity }) => [id, score, utility, propensity]);

  test("another takes the place of one that runs: what the synchronous reranker answers, and subscribers are told", async () => {
    const sync = createReranker<Candidate>({ bundle: bundle(), clock });
    const reranker = create();
    await Promise.all([sync.ready, reranker.ready]);
    const [a, b] = [sync.session(), reranker.session()];
    for (const event of events("02")) expect(await b.observe(event)).toEqual(a.observe(event));
    const seeded = { ...asked, seed: 5n };
    const [x, y] = [a.prepare(seeded), b.prepare(seeded)];
    const before = x.rerank();
    expect(numbers(await y.rerank())).toEqual(numbers(before));
    let told = 0;
    y.subscribe(() => (told += 1));
    const status = await reranker.replace(exploring());
    expect(status).toEqual(await sync.replace(exploring()));
    expect(status).toMatchObject({ source: "model", bundle: { version: 2 } });
    expect(reranker.status).toEqual(status);
    expect(told).toBe(1);
    const held = await y.rerank({ frozen: 3 });
    expect(numbers(held)).toEqual(numbers(x.rerank({ frozen: 3 })));
    expect(held.items.slice(0, 3)).toEqual(before.items.slice(0, 3));
    const after = await y.rerank();
    expect(numbers(after)).toEqual(numbers(x.rerank()));
    expect(numbers(after)).not.toEqual(numbers(before));
    sync.dispose();
  });

  test("a bad one changes nothing and is told; what comes later has the turn of its call; a path is a source too", async () => {
    const reranker = create({ timeoutMs: 100 });
    await reranker.ready;
    const list = reranker.session().prepare(asked);
    const good = numbers(await list.rerank());
    for (const [give, code] of [
      [() => named("cut"), "bundle_corrupt"],
      [() => "/not/there.ranklet", "bundle_fetch_failed"],
      [() => Promise.reject(new Error("offline")), "bundle_fetch_failed"],
      [() => new Response("gone", { status: 404 }), "bundle_fetch_failed"],
      [() => 7, "bundle_fetch_failed"],
    ] as const) {
      const status = await reranker.replace(give() as never);
      expect(status).toMatchObject({ source: "model", bundle: { version: 1 } });
      expect(status.detail).toMatch(new RegExp(`^${code}: `));
    }
    expect(numbers(await list.rerank())).toEqual(good);
    // One that takes longer than any answer may, and says nothing against the worker meanwhile.
    let come!: (bytes: Uint8Array<ArrayBuffer>) => void;
    const slow = reranker.replace(new Promise<Uint8Array<ArrayBuffer>>((resolve) => (come = resolve)));
    await new Promise((later) => setTimeout(later, 300));
    expect(reranker.status.source).toBe("model");
    expect(await reranker.replace(bundlePath)).toMatchObject({ detail: "", bundle: { version: 1 } });
    come(named("next"));
    expect((await slow).detail).toMatch(/^superseded: /);
    expect(numbers(await list.rerank())).toEqual(good);
    expect(await reranker.replace(new Response(named("next")))).toMatchObject({ detail: "", bundle: { version: 2 } });
    reranker.dispose();
    expect(await reranker.replace(bundle())).toMatchObject({ source: "server", reason: "disposed", detail: expect.stringMatching(/^disposed: /) as string });
  });

  test("a bundle in place of one that could not be had; and a worker that ends while it opens one", async () => {
    const reranker = create({ bundle: "/not/there.ranklet" });
    expect((await reranker.ready).reason).toBe("bundle_fetch_failed");
    const list = reranker.session().prepare(asked);
    expect((await list.rerank()).reason).toBe("bundle_fetch_failed");
    expect(await reranker.replace(bundle())).toMatchObject({ source: "model", reason: null });
    expect((await list.rerank()).source).toBe("model");
    const worker = thread("serve(parentPort)");
    const fragile = create({ worker });
    await fragile.ready;
    const pending = fragile.replace(new Promise<never>(() => undefined));
    await worker.terminate();
    expect((await pending).detail).toMatch(/^worker_failed: /);
    const silent = create({ worker: thread("setTimeout(() => undefined, 60_000)"), timeoutMs: 50, loadTimeoutMs: 100 });
    expect((await silent.replace(bundle())).detail).toMatch(/^worker_timeout: /);
  });

  test("a delivery runs in the page for an engine in the worker", async () => {
    const started: Receiver[] = [];
    let stopped = 0;
    const delivery: Delivery = { start: (to) => started.push(to), stop: () => (stopped += 1) };
    const reranker = create({ bundle: undefined as never, delivery, timeoutMs: 100 });
    while (started.length === 0) await new Promise((later) => setTimeout(later, 5));
    const to = started[0]!;
    const list = reranker.session().prepare(asked);
    expect((await list.rerank()).reason).toBe("loading");
    to.refuse(new RankletError("bundle_signature", "nobody signed it"));
    expect(await reranker.ready).toMatchObject({ source: "server", reason: "bundle_signature", detail: "nobody signed it" });
    expect(await to.offer(await to.read(bundlePath))).toMatchObject({ name: "ads-recs", version: 1 });
    expect((await list.rerank()).source).toBe("model");
    await expect(to.offer(named("cut"))).rejects.toMatchObject({ code: "bundle_corrupt" });
    await expect(to.read("/not/there")).rejects.toMatchObject({ code: "bundle_fetch_failed" });
    expect(to.now()).toBe(asked.now);
    to.disable("by an operator");
    expect(await list.rerank()).toMatchObject({ source: "server", reason: "disabled", detail: "by an operator" });
    to.enable();
    while ((await list.rerank()).source !== "model") await new Promise((later) => setTimeout(later, 5));
    expect((await to.offer(named("next"))).version).toBe(2);
    expect(reranker.status.bundle?.version).toBe(2);
    reranker.dispose();
    expect([started.length, stopped]).toEqual([1, 1]);
    await expect(to.offer(bundle())).rejects.toMatchObject({ code: "disposed" });
    const throws = create({ bundle: undefined as never, delivery: { start: () => { throw new Error("no start"); }, stop: () => undefined } });
    expect(await throws.ready).toMatchObject({ reason: "bundle_fetch_failed", detail: "no start" });
  });
});

describe.skipIf(executablePath === undefined)("in Chromium", () => {
  let browser: Browser;
  let host: Site;

  beforeAll(async () => {
    [browser, host] = await Promise.all([launch(), site()]);
  });

  afterAll(async () => {
    await browser?.close();
    await host?.close();
  });

  test("a hot swap in a page's worker: the numbers of the synchronous reranker after its own", async () => {
    const next = exploring();
    const seeded = { ...asked, seed: "5" };
    const sync = createReranker<Candidate>({ bundle: bundle(), clock });
    await sync.ready;
    await sync.replace(next.slice());
    const expected = sync.session().prepare(seeded).rerank().entries.map(({ id, score, propensity }) => [id, score, propensity]);
    expect(expected.some(([, , propensity]) => propensity !== 1)).toBe(true);
    sync.dispose();
    const { page, noise } = await open(browser, host);
    const found = (await page.evaluate(`(async () => {
      const given = ${JSON.stringify(seeded)};
      const { createAsyncReranker } = await import("/worker-browser.js");
      const reranker = createAsyncReranker({ bundle: "ads-recs.ranklet", clock: () => given.now, timeoutMs: 20000 });
      const list = reranker.session().prepare(given);
      await reranker.ready;
      const first = await list.rerank();
      let told = 0;
      list.subscribe(() => (told += 1));
      const bad = await reranker.replace("not-there.ranklet");
      const status = await reranker.replace(Uint8Array.from(atob("${Buffer.from(next).toString("base64")}"), (c) => c.charCodeAt(0)));
      const ranking = await list.rerank();
      reranker.dispose();
      return { first: first.source, told, bad: bad.detail, version: status.bundle?.version, detail: status.detail, numbers: ranking.entries.map(({ id, score, propensity }) => [id, score, propensity]) };
    })()`)) as object;
    await page.close();
    expect(found).toMatchObject({ first: "model", told: 1, bad: expect.stringMatching(/^bundle_fetch_failed: /) as string, version: 2, detail: "" });
    expect(found).toHaveProperty("numbers", JSON.parse(JSON.stringify(expected)));
    for (const line of noise) expect(line).toContain("404");
  });
});

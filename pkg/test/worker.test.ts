// ranklet/worker: the engine in a thread of Node's and in a page's worker.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { MessageChannel, Worker } from "node:worker_threads";
import { createReranker, type RerankOptions } from "ranklet";
import { describeSignals } from "ranklet/describe";
import { createAsyncReranker, type Port } from "ranklet/worker";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { executablePath, launch, open, site, type Site } from "./chromium.js";
import { bundle, dist, events, request, type Candidate } from "./fixtures.js";
import { asked, clock, create, thread } from "./worker-fixtures.js";

const serverIds = asked.candidates.map(({ id }) => id);
/** Stands between the page and the worker: what goes to the page can be held back. */
function held(worker: Worker): { port: Port; hold: () => void; release: () => void } {
  let [holding, kept]: [boolean, unknown[]] = [false, []];
  let told: (message: unknown) => void = () => undefined;
  worker.on("message", (message: unknown) => (holding ? kept.push(message) : told(message)));
  worker.unref();
  const port: Port = {
    postMessage: (message) => worker.postMessage(message),
    on: (type, listener) => type === "message" && (told = listener as never),
    terminate: () => worker.terminate(),
  };
  return { port, hold: () => (holding = true), release: () => ((holding = false), kept.splice(0).forEach((message) => told(message))) };
}

test("the model's order with every number of the synchronous one, to the bit", async () => {
  const sync = createReranker<Candidate>({ bundle: bundle(), clock });
  const reranker = create();
  expect(await sync.ready).toEqual(await reranker.ready);
  for (const name of ["01", "02", "03", "04", "05"]) {
    const one = request(name);
    const [a, b] = [sync.session({ key: "one" }), reranker.session({ key: "one" })];
    for (const event of events(name)) expect(await b.observe(event)).toEqual(a.observe(event));
    const half = { ...one, candidates: one.candidates.slice(0, 7) };
    const [x, y] = [a.prepare(half), b.prepare(half)];
    const compare = async (options: RerankOptions = {}) => {
      const [expected, found] = [x.rerank({ now: one.now, ...options }), await y.rerank({ now: one.now, ...options })];
      const { source, reason, detail, degraded } = expected;
      expect(found).toMatchObject({ source, reason, detail, degraded });
      expect(found.entries).toEqual(expected.entries);
      expect(found.items.every((item, at) => item === expected.items[at])).toBe(true);
      return found;
    };
    expect((await compare()).source).toBe("model");
    x.append(one.candidates);
    await y.append(one.candidates);
    await compare({ frozen: 3 });
    x.update({ ...one.facts, campaign: { strategy: "manual", daily_budget: 3n, wild: () => 1 } });
    await y.update({ ...one.facts, campaign: { strategy: "manual", daily_budget: 3n, wild: () => 1 } });
    await compare({ frozen: [one.candidates[4]!.id, "nobody"] });
    const dismissed = { type: "dismiss", candidate: one.candidates[6]!.id, time: one.now } as const;
    expect(await b.observe(dismissed)).toEqual(a.observe(dismissed));
    expect((await compare({ rows: 9, frozen: 5 })).degraded).toBe(true);
    expect(await b.snapshot()).toBe(a.snapshot());
    expect(await b.signals({ list: y, candidate: one.candidates[2]!.id })).toEqual(a.signals({ list: x, candidate: one.candidates[2]!.id }));
    expect(await describeSignals(b)).toEqual(describeSignals(a));
    const restored = reranker.session({ snapshot: a.snapshot() });
    expect(await restored.restored()).toBe(true);
  }
  sync.dispose();
});

test("the caller's own type is read here, once, and stays here", async () => {
  interface Rec { uuid: bigint; facts: { deep: unknown } & Record<string, unknown>; self?: Rec; act: () => void }
  const recs = asked.candidates.map(({ features }, at): Rec => {
    const rec: Rec = { uuid: 2n ** 60n + BigInt(at), facts: { ...features, deep: { no: "clone" }, fn: () => 1 }, act: () => undefined };
    rec.self = rec;
    return rec;
  });
  const options = { bundle: bundle(), clock, id: "uuid", features: (rec: Rec) => rec.facts } as const;
  const reranker = createAsyncReranker<Rec>({ ...options, timeoutMs: 20_000 });
  const sync = createReranker<Rec>(options);
  await Promise.all([reranker.ready, sync.ready]);
  const request = { ...asked, candidates: recs };
  const found = await reranker.session().prepare(request).rerank();
  const expected = sync.session().prepare(request).rerank();
  expect(found.entries).toEqual(expected.entries);
  expect(found.items.map((rec) => recs.indexOf(rec)).sort((a, b) => a - b)).toEqual(recs.map((_, at) => at));
  sync.dispose();
  reranker.dispose();
});

test("until it is there: the server's order, loading; events wait for it, and subscribers are told", async () => {
  const reranker = create();
  const session = reranker.session();
  const list = session.prepare(asked);
  let told = 0;
  list.subscribe(() => (told += 1));
  expect(await session.observe({ type: "dismiss", candidate: "r3" })).toEqual({ accepted: true, due: false, reason: null });
  const early = await list.rerank();
  expect(early).toMatchObject({ source: "server", reason: "loading" });
  expect(early.items.map(({ id }) => id)).toEqual(serverIds);
  expect(early.entries[2]).toMatchObject({ id: "r3", suppressed: "dismissed", score: null, propensity: 1 });
  await reranker.ready;
  const later = await list.rerank();
  expect(later.source).toBe("model");
  expect(later.entries.find(({ id }) => id === "r3")!.suppressed).toBe("dismissed");
  expect(told).toBeGreaterThan(0);
});

test("what is asked at once is answered by the last, and counts in the order of the calls", async () => {
  const reranker = create();
  await reranker.ready;
  const session = reranker.session();
  const list = session.prepare(asked);
  const first = list.rerank();
  const observed = session.observe({ type: "dismiss", candidate: serverIds[0]! });
  const second = list.rerank();
  const third = list.rerank({ frozen: 2 });
  const [a, b, c] = await Promise.all([first, second, third]);
  expect(a).toBe(c);
  expect(b).toBe(c);
  expect((await observed).due).toBe(true);
  expect(c.entries.find(({ id }) => id === serverIds[0])!.suppressed).toBe("dismissed");
  // What is frozen is what the page shows: the server's first two, for no answer before was shown.
  expect(c.items.slice(0, 2).map(({ id }) => id)).toEqual(serverIds.slice(0, 2));
});

test("records come in the compact form, at the level of the moment", async () => {
  const records: Uint8Array[] = [];
  let consent: "none" | "aggregate" = "none";
  const reranker = create({ onRecord: (bytes) => records.push(bytes), consent: () => consent });
  await reranker.ready;
  const list = reranker.session().prepare(asked);
  await list.rerank();
  expect(records.length).toBe(0);
  consent = "aggregate";
  const ranking = await list.rerank();
  ranking.exposed(ranking.entries[0]!.id, 1500);
  await list.rerank();
  expect(records.length).toBe(3);
});

test("invalid requests are the server's order here, and disposed is disposed", async () => {
  const reranker = create();
  await reranker.ready;
  const session = reranker.session();
  const twice = session.prepare({ candidates: [asked.candidates[0]!, asked.candidates[0]!] });
  expect(await twice.rerank()).toMatchObject({ source: "server", reason: "request_invalid" });
  expect((await session.prepare({ candidates: [] }).rerank()).source).toBe("model");
  const [older, newer] = [session.prepare({ ...asked, list_id: "home", now: asked.now - 5 }), session.prepare({ ...asked, list_id: "home" })];
  expect((await older.rerank()).reason).toBe("superseded");
  const pending = newer.rerank();
  newer.dispose();
  expect((await pending).reason).toBe("disposed");
  const facts = session.prepare(asked);
  await facts.update({ account: { get country() { throw new Error("no"); } } });
  expect((await facts.rerank()).reason).toBe("request_invalid");
  await facts.update({});
  expect((await facts.rerank()).source).toBe("model");
  const orphan = session.prepare(asked);
  session.dispose();
  expect((await orphan.rerank()).reason).toBe("stale_list");
  expect(await session.observe({ type: "open", candidate: "r1" })).toMatchObject({ accepted: false, reason: "disposed" });
  reranker.dispose();
  expect(reranker.status.reason).toBe("disposed");
  expect(await session.snapshot()).toBeNull();
});

describe("a worker that fails", () => {
  test("does not answer in time: the server's order below what is frozen; it is well again when it speaks", async () => {
    const { port, hold, release } = held(thread("serve(parentPort)"));
    const reranker = create({ worker: port, timeoutMs: 300 });
    await reranker.ready;
    const session = reranker.session();
    const list = session.prepare(asked);
    const shown = await list.rerank();
    expect(shown.source).toBe("model");
    let told = 0;
    list.subscribe(() => (told += 1));
    hold();
    const began = performance.now();
    const late = await list.rerank({ frozen: 4 });
    expect(performance.now() - began).toBeLessThan(2000);
    expect(late).toMatchObject({ source: "server", reason: "worker_timeout" });
    expect(late.items.slice(0, 4)).toEqual(shown.items.slice(0, 4));
    expect(late.items.slice(4).map(({ id }) => id)).toEqual(serverIds.filter((id) => !shown.items.slice(0, 4).some((item) => item.id === id)));
    // The next does not wait again.
    const again = performance.now();
    expect((await list.rerank({ frozen: 4 })).reason).toBe("worker_timeout");
    expect(performance.now() - again).toBeLessThan(100);
    expect(await session.observe({ type: "dismiss", candidate: "r9" })).toMatchObject({ accepted: false, reason: "worker_timeout" });
    release();
    await new Promise((next) => setTimeout(next, 50));
    expect(told).toBeGreaterThan(0);
    const well = await list.rerank({ frozen: 6 });
    expect(well.source).toBe("model");
    // Where the page has them, not where the worker's own last order had them.
    expect(well.items.slice(0, 6)).toEqual(late.items.slice(0, 6));
    expect(well.entries.find(({ id }) => id === "r9")!.suppressed).toBe("dismissed");
  });

  test("is ended in the middle of a call", async () => {
    const worker = thread("serve(parentPort)");
    const reranker = create({ worker: worker as unknown as Port });
    await reranker.ready;
    const list = reranker.session().prepare(asked);
    await list.rerank();
    const [ended, pending] = [worker.terminate(), list.rerank({ frozen: 2 })];
    expect(await pending).toMatchObject({ source: "server", reason: "worker_failed" });
    await ended;
    expect(reranker.status.reason).toBe("worker_failed");
    expect((await list.rerank()).reason).toBe("worker_failed");
  });

  test("throws at its start, cannot be made, or says nothing at all", async () => {
    const throwing = create({ worker: new Worker("throw new Error('no')", { eval: true }) as unknown as Port });
    expect(await throwing.ready).toMatchObject({ source: "server", reason: "worker_failed", detail: "no" });
    const none = create({
      worker: () => {
        throw new Error("forbidden");
      },
    });
    expect(await none.ready).toMatchObject({ reason: "worker_failed", detail: "forbidden" });
    const silent = create({ worker: thread("setInterval(() => {}, 1000)") as unknown as Port, loadTimeoutMs: 100 });
    expect(await silent.ready).toMatchObject({ reason: "load_timeout" });
    const list = silent.session().prepare(asked);
    expect((await list.rerank()).items.map(({ id }) => id)).toEqual(serverIds);
  });

  test("hangs in an endless loop", async () => {
    const worker = thread("serve(parentPort); parentPort.on('message', (m) => { if (m.asked.op === 'snapshot') for (;;); })");
    const reranker = create({ worker: worker as unknown as Port, timeoutMs: 200 });
    await reranker.ready;
    const session = reranker.session();
    const list = session.prepare(asked);
    expect((await list.rerank()).source).toBe("model");
    void session.snapshot();
    // The answer to the snapshot comes first; then it hangs.
    await new Promise((next) => setTimeout(next, 20));
    expect(await list.rerank()).toMatchObject({ source: "server", reason: "worker_timeout" });
    reranker.dispose();
    await worker.terminate();
  });

  test("the bundle's own failures come through", async () => {
    const found = await create({ bundle: new Uint8Array(1000) }).ready;
    expect(found).toMatchObject({ source: "server", reason: "bundle_corrupt" });
    expect((await create({ bundle: Promise.reject(new Error("offline")) }).ready).reason).toBe("bundle_fetch_failed");
    expect((await create({ bundle: Promise.resolve(new Response(bundle())) }).ready).reason).toBeNull();
    expect((await create({ enabled: false }).ready).reason).toBe("disabled");
  });
});

test("over a MessagePort, several to one thread", async () => {
  const worker = thread("parentPort.on('message', (port) => serve(port))");
  const rerankers = [1, 2].map(() => {
    const { port1, port2 } = new MessageChannel();
    worker.postMessage(port2, [port2]);
    return create({ worker: port1 as unknown as Port });
  });
  const orders = await Promise.all(rerankers.map(async (reranker) => {
    await reranker.ready;
    return (await reranker.session().prepare(asked).rerank()).items.map(({ id }) => id);
  }));
  expect(orders[0]).not.toEqual(serverIds);
  expect(orders[1]).toEqual(orders[0]);
  rerankers.forEach((reranker) => reranker.dispose());
  await worker.terminate();
});

test("a process that has nothing more to do ends, and waits for what it asked", () => {
  const text = `
    import { createAsyncReranker } from "ranklet/worker";
    const reranker = createAsyncReranker({ bundle: process.argv[1], timeoutMs: 20000 });
    await reranker.ready;
    console.log((await reranker.session().prepare({ candidates: [{ id: "a" }, { id: "b" }] }).rerank()).reason);`;
  const path = process.env.RANKLET_BUNDLE ?? join(process.env.CARGO_TARGET_DIR ?? join(dist, "../../target"), "ranklet/ads-recs.ranklet");
  expect(execFileSync(process.execPath, ["--input-type=module", "-e", text, path], { cwd: join(dist, ".."), encoding: "utf8", timeout: 20_000 }).trim()).toBe("null");
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

  /** What a page finds: its own worker by default. */
  async function rank(how = "undefined") {
    const { page, noise } = await open(browser, host);
    const found = (await page.evaluate(`(async () => {
      const given = ${JSON.stringify(asked)};
      const { createAsyncReranker } = await import("/worker-browser.js");
      const longest = [];
      new PerformanceObserver((list) => longest.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
      const reranker = createAsyncReranker({ bundle: "ads-recs.ranklet", clock: () => given.now, worker: ${how}, timeoutMs: 20000 });
      const status = await reranker.ready;
      const ranking = await reranker.session().prepare(given).rerank();
      const numbers = ranking.entries.map(({ id, score, utility, heads }) => [id, score, utility, heads]);
      const observed = await reranker.session().observe({ type: "open", candidate: "r1" });
      reranker.dispose();
      return { reason: status.reason, source: ranking.source, why: ranking.reason, ids: ranking.items.map(({ id }) => id), numbers, observed };
    })()`)) as { reason: string | null; source: string; why: string | null; ids: string[]; numbers: unknown[]; observed: object };
    await page.close();
    return { ...found, noise };
  }

  test("a worker of its own, and a shared one: the numbers of the synchronous reranker in Node", async () => {
    const sync = createReranker<Candidate>({ bundle: bundle(), clock });
    await sync.ready;
    const expected = sync.session().prepare(asked).rerank().entries.map(({ id, score, utility, heads }) => [id, score, utility, heads]);
    sync.dispose();
    host.asked.length = 0;
    const own = await rank();
    expect(own).toMatchObject({ reason: null, source: "model", noise: [], observed: { accepted: true } });
    expect(own.numbers).toEqual(JSON.parse(JSON.stringify(expected)));
    expect([...host.asked].sort()).toEqual(["/", "/ads-recs.ranklet", "/ranklet.wasm", "/worker-browser.js", "/worker-host-browser.js"]);
    const shared = await rank('() => new SharedWorker("/worker-host-browser.js", { type: "module" }).port');
    expect(shared).toMatchObject({ reason: null, source: "model", noise: [] });
    expect(shared.numbers).toEqual(own.numbers);
  });

  test("a policy that forbids workers, and a script that is not there", async () => {
    host.policy = "default-src 'self'; img-src data:; worker-src 'none'; script-src 'self' 'wasm-unsafe-eval'";
    const forbidden = await rank();
    host.policy = undefined;
    expect(forbidden).toMatchObject({ reason: "worker_failed", source: "server", why: "worker_failed", ids: serverIds });
    const missing = await rank('() => new Worker("/missing/host.js", { type: "module" })');
    expect(missing).toMatchObject({ reason: "worker_failed", source: "server", ids: serverIds });
    // What the browser itself says of the two, and nothing else.
    for (const line of [...forbidden.noise, ...missing.noise]) expect(line).toMatch(/Content Security Policy|404/);
  });

  test("with the policy that the design names", async () => {
    host.policy = "default-src 'self'; img-src data:; script-src 'self' 'wasm-unsafe-eval'";
    expect(await rank()).toMatchObject({ reason: null, source: "model", noise: [] });
    host.policy = undefined;
  });
});

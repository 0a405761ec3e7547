// A site that serves bundles and channels over real HTTP, and pages that take theirs through `ranklet/delivery`.
import { createReranker, type Reranker, type RerankerOptions } from "ranklet";
import { createDelivery, type DeliveryOptions, type ManagedDelivery } from "ranklet/delivery";
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest";
import { bundle, request, type Candidate } from "./fixtures.js";
import { serve, type Served } from "./server.js";
import { digestOf, makeKeys, signed, withSlots, type Keys } from "./signing.js";

export let server: Served;
/** What each path answers: bytes, a status, or nothing at all. */
export type File = Uint8Array | number | "hang";
export const files = new Map<string, File>();
export const asked: { path: string; etag: string | undefined }[] = [];
export let keys: Keys;
export let other: Keys;
const unhandled = vi.fn();
const printed = (["log", "info", "warn", "error", "debug"] as const).map((name) => vi.spyOn(console, name));

beforeAll(async () => {
  keys = makeKeys();
  other = makeKeys();
  process.on("unhandledRejection", unhandled);
  server = await serve(({ url, headers }, response) => {
    asked.push({ path: url!, etag: headers["if-none-match"] });
    const file = files.get(url!);
    if (file === "hang") return;
    if (file === undefined || typeof file === "number") return void response.writeHead(file ?? 404).end();
    const etag = `"${digestOf(file)}"`;
    if (headers["if-none-match"] === etag) response.writeHead(304).end();
    else response.setHeader("etag", etag).end(file);
  });
});

beforeEach(() => {
  files.clear();
  asked.length = 0;
});

let open: Reranker<Candidate>[] = [];

/** Closes every page that is open, with its timers. */
export function leave(): void {
  for (const reranker of open) reranker.dispose();
  open = [];
}

afterEach(leave);

afterAll(async () => {
  await server.close();
  process.off("unhandledRejection", unhandled);
  expect(unhandled).not.toHaveBeenCalled();
  for (const spy of printed) expect(spy).not.toHaveBeenCalled();

});

/** A bundle of a version; signed, unless by nobody. */
export function version(number: number, by: Keys | null = keys, name = "ads-recs"): Uint8Array<ArrayBuffer> {
  const bytes = withSlots(bundle(), (manifest) => Object.assign(manifest, { version: number, name }));
  return by ? signed(bytes, by) : bytes;
}

/** One that is signed and whole, and fails its self-test. */
export function failing(number: number): Uint8Array<ArrayBuffer> {
  const bytes = withSlots(bundle(), (manifest, tensor) => {
    manifest.version = number;
    const scores = tensor(manifest.golden.outputs.at(-1));
    scores.setFloat32(0, scores.getFloat32(0, true) + 0.25, true);
  });
  return signed(bytes, keys);
}

export interface Visit {
  delivery: ManagedDelivery;
  reranker: Reranker<Candidate>;
  ready: Awaited<Reranker["ready"]>;
}

/** A page that loads: it is over when the delivery has done what it can for now. */
export async function visit(options: Partial<DeliveryOptions>, more: Partial<RerankerOptions<Candidate>> = {}): Promise<Visit> {
  const delivery = createDelivery({ keys: keys.pub, bundle: server.url("/b"), ...options });
  const reranker = createReranker<Candidate>({ delivery, ...more } as RerankerOptions<Candidate>);
  open.push(reranker);
  const ready = await reranker.ready;
  await settled(delivery);
  return { delivery, reranker, ready };
}

export async function settled(delivery: ManagedDelivery): Promise<void> {
  let before = "";
  await vi.waitFor(() => {
    const now = JSON.stringify(delivery.state);
    const still = now === before;
    before = now;
    if (!still) throw new Error("it moves");
  }, { interval: 60, timeout: 5000 });
}

/** What is answered to the recorded request, and that a failure leaves it all in place. */
export function answer({ reranker }: Pick<Visit, "reranker">) {
  const asking = request();
  const before = JSON.stringify(asking);
  const { source, reason, items } = reranker.session().prepare(asking).rerank({ now: asking.now });
  expect(JSON.stringify(asking)).toBe(before);
  if (source === "server") expect(items).toEqual(asking.candidates);
  expect(new Set(items)).toEqual(new Set(asking.candidates));
  return { source, reason, version: reranker.status.bundle?.version ?? null };
}

/** A channel's entry for the file that lies at `/b/VERSION`. */
export function entry(number: number, more: object = {}) {
  const file = files.get(`/b/${number}`);
  return { url: `b/${number}`, sha256: file instanceof Uint8Array ? digestOf(file) : "0".repeat(64), version: number, ...more };
}

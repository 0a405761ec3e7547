import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { LocalEvent, RerankRequest } from "ranklet";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const dist = join(root, "pkg/dist");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");

/** The native command line. */
export const binary = process.env.RANKLET_BIN ?? join(target, "release/ranklet");
export const bundlePath = process.env.RANKLET_BUNDLE ?? join(target, "ranklet/ads-recs.ranklet");
export const model = join(root, "models/ads-recs");

export interface Candidate {
  id: string;
  key: string;
  type: string;
  server_score: number;
  features: Record<string, unknown>;
}

export type Request = RerankRequest<Candidate> & { session: string; now: number };
export type Event = LocalEvent & { session?: string; time: number };

/** The ads-recs bundle that the native compiler made. */
export function bundle(): Uint8Array<ArrayBuffer> {
  if (!existsSync(bundlePath)) throw new Error(`${bundlePath} is not there: run \`cargo xtask build\``);
  return new Uint8Array(readFileSync(bundlePath));
}

export function wasm(name = "ranklet"): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(join(dist, `${name}.wasm`)));
}

export function request(name = "01"): Request {
  return JSON.parse(readFileSync(join(model, `requests/${name}.json`), "utf8")) as Request;
}

/** The recorded events of a request's session, up to the request. */
export function events(name = "01"): Event[] {
  const { session, now } = request(name);
  return lines<Event>(readFileSync(join(model, `events/${name}.jsonl`), "utf8")).filter(
    (event) => (event.session ?? session) === session && event.time <= now,
  );
}

export function lines<T>(text: string): T[] {
  return text.split("\n").filter((line) => line.trim() !== "").map((line) => JSON.parse(line) as T);
}

interface Header {
  __metadata__: Record<string, string>;
  [tensor: string]: unknown;
}

// The manifest as the tests edit it: any part of it.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Manifest = any;

/** A bundle with its manifest or its tensors changed, and whole again: the digest fits. */
export function edited(
  bytes: Uint8Array,
  edit: (manifest: Manifest, tensor: (name: string) => DataView) => void,
): Uint8Array<ArrayBuffer> {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Header;
  const data = bytes.slice(8 + length);
  const manifest = JSON.parse(header.__metadata__["ranklet"]!) as Manifest;
  edit(manifest, (name) => {
    const [from, to] = (header[name] as { data_offsets: [number, number] }).data_offsets;
    return new DataView(data.buffer, from, to - from);
  });
  header.__metadata__ = { ...header.__metadata__, ranklet: JSON.stringify(manifest), sha256: "0".repeat(64) };
  let text = new TextEncoder().encode(JSON.stringify(header));
  // Safetensors pads its header with spaces, so that the data is aligned.
  const padded = new Uint8Array(Math.ceil(text.length / 8) * 8).fill(32);
  padded.set(text);
  text = padded;
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  const digest = createHash("sha256").update(file).digest("hex");
  const at = Buffer.from(file.buffer).indexOf('"sha256":"') + '"sha256":"'.length;
  file.set(new TextEncoder().encode(digest), at);
  return file;
}

/** What a session knows, but for the names of the lists it was seen in: they hold the time that each was asked for. */
export function known(session: { snapshot(): string | null }): object {
  const { shown: _, ...rest } = JSON.parse(session.snapshot()!) as { shown?: unknown };
  return rest;
}

import { sha256 } from "./delivery-hex.js";
import { seal, type Sealed } from "./delivery-slots.js";

const MAX_CHANNEL = 64 << 10;
const MAX_BUNDLES = 64;
/** 30 days: what an answer may count at most. */
const MAX_TTL_MS = 30 * 86_400_000;

/** One bundle of a channel, and for whom it is. */
export interface ChannelBundle {
  /** Relative to the channel's own. */
  url: string;
  /** Of the file, lower-case hex. */
  sha256: string;
  /** The one in its manifest. */
  version: number;
  /** Of units, 0 to 100: those whose bucket is below it. */
  percent: number;
}

/** What an operator says of a model's rollout; `docs/delivery.md`. */
export interface Channel {
  /** Monotone: a channel with a lower one than was seen is an old one. */
  sequence: number;
  /** For how long an answer counts without being read again, ms. */
  ttlMs: number;
  /** What holds when it can no longer be read: what runs, or the server's order. */
  offline: "keep" | "off";
  salt: string;
  /** The kill switch; `until` in ms since the epoch, null: until a channel lifts it. */
  disabled: { until: number | null; detail: string } | null;
  /** The first whose percentage holds a unit is its bundle. */
  bundles: ChannelBundle[];
}

/** Reads a channel's bytes. Throws an `Error` that says what is wrong. */
export function readChannel(bytes: Uint8Array): Channel {
  check(bytes.length <= MAX_CHANNEL, "size");
  const given = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)) as Record<string, unknown> | null;
  check(typeof given === "object" && given !== null && given["format"] === 1, "format");
  const { sequence, ttl_ms: ttl, offline = "keep", salt = "", disabled = null, bundles } = given;
  check(whole(sequence), "sequence");
  check(typeof ttl === "number" && ttl >= 0, "ttl_ms");
  check(offline === "keep" || offline === "off", "offline");
  // A NUL divides salt and unit where they are hashed.
  check(typeof salt === "string" && !salt.includes("\0"), "salt");
  check(Array.isArray(bundles) && bundles.length <= MAX_BUNDLES, "bundles");
  return { sequence, ttlMs: Math.min(ttl, MAX_TTL_MS), offline, salt, disabled: readDisabled(disabled), bundles: bundles.map(readBundle) };
}

/** The bytes as they are signed. */
export function sealChannel(bytes: Uint8Array): Sealed {
  return seal(bytes, new TextDecoder("latin1").decode(bytes), 0, "ranklet-channel-v1");
}

/**
 * Where a unit stands between 0 and 100: the first four bytes of SHA-256 of salt, NUL and unit in UTF-8, as a big-endian
 * number, times 100 / 2^32. So a unit that is in at five percent is in at ten.
 */
export async function bucketOf(salt: string, unit: string): Promise<number> {
  const hash = await sha256(new TextEncoder().encode(`${salt}\0${unit}`));
  return (new DataView(hash.buffer).getUint32(0) * 100) / 2 ** 32;
}

/** A unit's bundle; without a unit, the first that is for all. */
export async function chosen({ bundles, salt }: Channel, unit: string | undefined): Promise<ChannelBundle | undefined> {
  const staged = unit !== undefined && bundles.some(({ percent }) => percent < 100);
  const bucket = staged ? await bucketOf(salt, unit) : 100;
  return bundles.find(({ percent }) => percent >= 100 || bucket < percent);
}

function readDisabled(given: unknown): Channel["disabled"] {
  if (given === null || given === false) return null;
  check(typeof given === "object", "disabled");
  const { until = null, detail = "" } = given as { until?: unknown; detail?: unknown };
  check(until === null || Number.isFinite(until), "disabled.until");
  return { until: until as number | null, detail: typeof detail === "string" && detail !== "" ? detail : "disabled by the channel" };
}

function readBundle(given: unknown): ChannelBundle {
  const { url, sha256: hash, version, percent = 100 } = (given ?? {}) as Record<string, unknown>;
  check(typeof url === "string", "bundles.url");
  check(typeof hash === "string" && /^[0-9a-f]{64}$/.test(hash), "bundles.sha256");
  check(whole(version), "bundles.version");
  check(typeof percent === "number" && percent >= 0 && percent <= 100, "bundles.percent");
  return { url, sha256: hash, version, percent };
}

function whole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** `what` names the part that is not as docs/delivery.md has it. */
function check(held: boolean, what: string): asserts held {
  if (!held) throw new Error(`the channel's ${what} is invalid`);
}

// A signer of its own, by Node's OpenSSL: nothing of the verifier under test is in it.
import { createHash, generateKeyPairSync, sign as signBy, type KeyObject } from "node:crypto";
import { edited } from "./fixtures.js";

/** One key of each kind, and the lines to pin. */
export interface Keys {
  ed25519: KeyObject;
  p256: KeyObject;
  pub: string[];
  ids: string[];
}

export function makeKeys(): Keys {
  const ed25519 = generateKeyPairSync("ed25519");
  const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const part = (text: string | undefined) => Buffer.from(text!, "base64url");
  const { x, y } = p256.publicKey.export({ format: "jwk" });
  const raws = [part(ed25519.publicKey.export({ format: "jwk" }).x), Buffer.concat([Buffer.of(4), part(x), part(y)])];
  return {
    ed25519: ed25519.privateKey,
    p256: p256.privateKey,
    pub: raws.map((raw, place) => `${["ed25519", "p256"][place]!}:${raw.toString("hex")}`),
    ids: raws.map((raw) => createHash("sha256").update(raw).digest("hex").slice(0, 16)),
  };
}

export const digestOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const SLOTS = { "ranklet.signature.ed25519": 128, "ranklet.signature.keys": 33, "ranklet.signature.p256": 128 };

/** Empty slots, as members of a JSON object. */
export const emptySlots: Record<string, string> = Object.fromEntries(Object.entries(SLOTS).map(([name, width]) => [name, "0".repeat(width)]));

/** A bundle with slots, and with another version or whatever `edit` does to its manifest. */
export function withSlots(bytes: Uint8Array, edit: Parameters<typeof edited>[1] = () => undefined): Uint8Array<ArrayBuffer> {
  const whole = edited(bytes, edit);
  const length = Number(new DataView(whole.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(whole.subarray(8, 8 + length))) as { __metadata__: Record<string, string> };
  const { ranklet } = header.__metadata__;
  header.__metadata__ = { ranklet: ranklet!, ...emptySlots, sha256: "0".repeat(64) };
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8, " ");
  text.copy(padded);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(padded.length));
  const file = Buffer.concat([size, padded, whole.subarray(8 + length)]);
  file.write(digestOf(file), file.indexOf('"sha256":"') + '"sha256":"'.length);
  return new Uint8Array(file);
}

/** The same text or file with both signatures in its slots, or with that of one kind. */
export function signed(bytes: Uint8Array, keys: Keys, domain = "ranklet-bundle-v1", kinds = ["ed25519", "p256"]): Uint8Array<ArrayBuffer> {
  const file = Buffer.from(bytes);
  const message = Buffer.concat([Buffer.from(`${domain}\0`), file]);
  const has = (kind: string) => kinds.includes(kind);
  const values = {
    "ranklet.signature.ed25519": has("ed25519") ? signBy(null, message, keys.ed25519).toString("hex") : "",
    "ranklet.signature.keys": keys.ids.map((id, place) => (has(["ed25519", "p256"][place]!) ? id : "0".repeat(16))).join(","),
    "ranklet.signature.p256": has("p256") ? signBy("sha256", message, { key: keys.p256, dsaEncoding: "ieee-p1363" }).toString("hex") : "",
  };
  for (const [name, value] of Object.entries(values)) {
    const key = `"${name}":"`;
    file.write(value, file.indexOf(key) + key.length);
  }
  return new Uint8Array(file);
}

/** A channel document's bytes; signed where keys are given. */
export function channel(document: object, keys?: Keys): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify({ format: 1, sequence: 1, ttl_ms: 60_000, ...document, ...(keys ? emptySlots : {}) });
  const bytes = new Uint8Array(Buffer.from(text));
  return keys ? signed(bytes, keys, "ranklet-channel-v1") : bytes;
}

import { hex, sha256, subtle, unhex } from "./delivery-hex.js";
import type { Sealed } from "./delivery-slots.js";
import { RankletError } from "./reasons.js";

/** The kinds of signature in the order of a bundle's key ids, each with its raw key's hex digits. */
const KINDS = [
  { kind: "ed25519", key: /^ed25519:([0-9a-f]{64})$/, importing: { name: "Ed25519" }, verifying: { name: "Ed25519" } },
  {
    kind: "p256",
    key: /^p256:(04[0-9a-f]{128})$/,
    importing: { name: "ECDSA", namedCurve: "P-256" },
    verifying: { name: "ECDSA", hash: "SHA-256" },
  },
] as const;

interface Pinned {
  kind: number;
  raw: Uint8Array<ArrayBuffer>;
  /** Imported when it is first needed; undefined where this platform has no such keys. */
  key?: Promise<CryptoKey | undefined>;
}

/** Public keys that are trusted. A key that is not among them any more is revoked. */
export class PinnedKeys {
  readonly #pinned: Pinned[] = [];

  /** Lines as a `.pub` file has them, or several such texts; `#` begins a comment. Throws `request_invalid`. */
  constructor(given: string | readonly string[]) {
    for (const line of [given].flat().join("\n").split("\n")) {
      const text = line.replace(/#.*/, "").trim();
      if (text === "") continue;
      const kind = KINDS.findIndex(({ key }) => key.test(text));
      // The line itself is not said: somebody may have pasted a private key.
      if (kind < 0) throw new RankletError("request_invalid", "a pinned key is neither ed25519:<64 hex digits> nor p256:<130 hex digits>");
      this.#pinned.push({ kind, raw: unhex(KINDS[kind]!.key.exec(text)![1]!) });
    }
  }

  /**
   * Every signature of a kind of which a key is pinned, and that this platform can verify, must hold, and one at least.
   * Throws `bundle_unsigned`, `bundle_signature`, or `signature_unavailable` where this platform can verify none.
   * So a platform with both kinds lets no bit of either slot change, and one with P-256 alone is content with that.
   */
  async verify({ message, signatures }: Sealed): Promise<void> {
    subtle();
    if (!signatures || /^0*$/.test(Object.values(signatures).join(""))) throw new RankletError("bundle_unsigned", "it is not signed");
    const ids = signatures.keys.split(",");
    let held = 0;
    let unable = 0;
    for (const [place, { kind, verifying }] of KINDS.entries()) {
      const pinned = this.#pinned.filter((key) => key.kind === place);
      const signature = signatures[kind];
      // By one kind alone a bundle may be signed, and then it has neither signature nor id of the other.
      if (pinned.length === 0 || /^0*$/.test(signature + (ids[place] ?? ""))) continue;
      const key = await named(pinned, ids[place]);
      if (!key) throw new RankletError("bundle_signature", `it is signed by ${kind} key ${ids[place] ?? "?"}, which is not pinned`);
      const imported = await (key.key ??= load(key));
      const good = imported && (await verified(verifying, imported, unhex(signature), message));
      if (good === false) throw new RankletError("bundle_signature", `its ${kind} signature does not hold`);
      if (good) held++;
      else unable++;
    }
    if (held > 0) return;
    throw unable > 0
      ? new RankletError("signature_unavailable", "this platform verifies neither of its signatures")
      : new RankletError("bundle_signature", "it has no signature of a kind that is pinned");
  }
}

/** The id finds a key and proves nothing: two keys of one id would only be one that fails to verify. */
async function named(pinned: readonly Pinned[], id: string | undefined): Promise<Pinned | undefined> {
  for (const key of pinned) if (hex((await sha256(key.raw)).subarray(0, 8)) === id) return key;
  return undefined;
}

async function load({ kind, raw }: Pinned): Promise<CryptoKey | undefined> {
  try {
    return await subtle().importKey("raw", raw, KINDS[kind]!.importing, false, ["verify"]);
  } catch {
    return undefined;
  }
}

async function verified(
  algorithm: (typeof KINDS)[number]["verifying"],
  key: CryptoKey,
  signature: Uint8Array<ArrayBuffer>,
  message: Uint8Array<ArrayBuffer>,
): Promise<boolean | undefined> {
  try {
    return await subtle().verify(algorithm, key, signature, message);
  } catch {
    return undefined;
  }
}

// The signature's places in a text, and what a bundle's header says of itself. Nothing here is believed: a text that is
// read as zeros in the wrong place, or read otherwise than its signer read it, is another message and fails to verify.
import { RankletError, describe } from "./reasons.js";

/** The same as the runtime's own cap. */
const MAX_HEADER = 64 << 20;

const NAMES = ["ed25519", "p256", "keys"] as const;
const VALUE = { ed25519: "[0-9a-f]{128}", p256: "[0-9a-f]{128}", keys: "[0-9a-f]{16},[0-9a-f]{16}|0{33}" };

/** What the three slots hold. */
export type Signatures = Record<(typeof NAMES)[number], string>;

/** A message with its slots as zeros, and what they held. */
export interface Sealed {
  message: Uint8Array<ArrayBuffer>;
  /** Undefined where there are no slots. */
  signatures: Signatures | undefined;
}

/**
 * The bytes as they are signed, behind `domain`. `text` is a part of them, one character a byte, from byte `start`, in which
 * the slots stand as JSON: each once, as digits without escapes, in lower case, so that one value has one form.
 * Throws `bundle_signature` where they stand otherwise.
 */
export function seal(bytes: Uint8Array, text: string, start: number, domain: string): Sealed {
  const prefix = new TextEncoder().encode(`${domain}\0`);
  const message = new Uint8Array(prefix.length + bytes.length);
  message.set(prefix);
  message.set(bytes, prefix.length);
  const values: Partial<Signatures> = {};
  for (const name of NAMES) {
    const key = `"ranklet.signature.${name}"`;
    // Inside a JSON string every quote is escaped, so the key with both of its quotes stands only where it is one.
    const named = text.split(key).length - 1;
    if (named === 0) continue;
    const [found] = text.matchAll(new RegExp(`${key.replaceAll(".", "\\.")}[ \\t\\r\\n]*:[ \\t\\r\\n]*"(${VALUE[name]})"`, "g"));
    if (named > 1 || !found) throw new RankletError("bundle_signature", `${key} is not what a signature looks like`);
    values[name] = found[1]!;
    const end = prefix.length + start + found.index + found[0].length - 1;
    message.fill(48, end - found[1]!.length, end);
  }
  const given = Object.keys(values).length;
  if (given !== 0 && given !== NAMES.length) throw new RankletError("bundle_signature", "a part of the signature is missing");
  return { message, signatures: given === 0 ? undefined : (values as Signatures) };
}

/** Where a bundle's header ends; it begins at byte 8. Throws `bundle_corrupt`. */
export function headerEnd(bytes: Uint8Array): number {
  if (bytes.length < 8) throw corrupt("it is shorter than a header");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = view.getUint32(0, true);
  if (view.getUint32(4, true) !== 0 || length > MAX_HEADER) throw corrupt("its header length is absurd");
  if (length > bytes.length - 8) throw corrupt("its header is cut");
  return 8 + length;
}

/** A bundle as it is signed. */
export function sealBundle(bytes: Uint8Array): Sealed {
  const text = new TextDecoder("latin1").decode(bytes.subarray(8, headerEnd(bytes)));
  return seal(bytes, text, 8, "ranklet-bundle-v1");
}

/** What a bundle says of itself. */
export interface Stated {
  name: string;
  /** Monotone. */
  version: number;
}

/** Name and version of a bundle's manifest. Throws `bundle_corrupt`. */
export function stated(bytes: Uint8Array): Stated {
  const end = headerEnd(bytes);
  let found: Partial<Stated> | null;
  try {
    const header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, end))) as {
      __metadata__: { ranklet: string };
    };
    found = JSON.parse(header.__metadata__.ranklet) as Partial<Stated> | null;
  } catch (thrown) {
    throw corrupt(describe(thrown));
  }
  const { name, version } = found ?? {};
  if (typeof name !== "string" || !Number.isSafeInteger(version)) throw corrupt("its manifest has no name and version");
  return { name, version: version! };
}

function corrupt(what: string): RankletError {
  return new RankletError("bundle_corrupt", `the bundle is not whole: ${what}`);
}

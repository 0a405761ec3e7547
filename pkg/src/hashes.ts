// SHA-256 by the host, which has it in machine code; a module that has just been compiled runs it before it is optimised.

/** What precedes the digest in a bundle's header, and how many characters it has. */
const KEY = '"sha256":"';
const LENGTH = 64;
/** The last slot of a signature, which ends where the digest's key begins, if there is one. */
const SLOT = '"ranklet.signature.p256":"';
/** How far before that key each of the three slots begins and ends: their widths are fixed. */
const SLOTS = [[347, 219], [191, 158], [130, 2]] as const;

/**
 * Two hashes as the engine takes them: of the bundle with its digest's and its signature's characters as zeros, and of it as it is. Nothing
 * where the host hashes nothing (a page that is no secure context) or this is no bundle: then the engine looks itself.
 */
export async function hashesOf(bundle: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  try {
    const header = bundle.subarray(0, 8 + new DataView(bundle.buffer).getUint32(0, true));
    // One character a byte, so that the index is the byte's.
    const text = new TextDecoder("latin1").decode(header);
    const key = text.indexOf(KEY);
    const at = key + KEY.length;
    const slots = text.startsWith(SLOT, key - 130 - SLOT.length) ? SLOTS : [];
    const digest = () => crypto.subtle.digest("SHA-256", bundle);
    const seen = header.slice();
    let content: Promise<ArrayBuffer>;
    try {
      header.fill(48, at, at + LENGTH);
      for (const [from, to] of slots) header.fill(48, key - from, key - to);
      // It takes its copy when it is called, so the bytes are whole again before anybody else sees them; a copy of our own
      // is the dearer, the larger the bundle.
      content = digest();
    } finally {
      header.set(seen);
    }
    const hashes = await Promise.all([content, digest()]);
    return Uint8Array.from(hashes.flatMap((hash) => [...new Uint8Array(hash)]));
  } catch {
    return new Uint8Array();
  }
}

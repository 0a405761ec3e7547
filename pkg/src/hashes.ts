// SHA-256 by the host, which has it in machine code; a module that has just been compiled runs it before it is optimised.

/** What precedes the digest in a bundle's header. */
const KEY = '"sha256":"';
/** What stands 156 characters before that key if there is a signature: its last slot's. */
const SLOT = '"ranklet.signature.p256":"';
/** How far before that key each of the three slots begins and ends, then the digest: their widths are fixed. */
const UNSEEN = [[347, 219], [191, 158], [130, 2], [-10, -74]] as const;

/**
 * Two hashes as the engine takes them: of the bundle with its digest's and its signature's characters as zeros, and of it as it is. Nothing
 * where the host hashes nothing (a page that is no secure context) or this is no bundle: then the engine looks itself. An engine that
 * only scores takes the first alone.
 */
export async function hashesOf(bundle: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  try {
    // Little-endian, as every engine of JavaScript is; elsewhere the engine finds the hashes wrong, and looks itself.
    const header = bundle.subarray(0, 8 + new Uint32Array(bundle.buffer, 0, 1)[0]!);
    // One character a byte, so that the index is the byte's.
    const text = new TextDecoder("latin1").decode(header);
    const key = text.indexOf(KEY);
    const seen = header.slice();
    let content: Promise<ArrayBuffer>;
    try {
      for (const [from, to] of UNSEEN.slice(text.startsWith(SLOT, key - 156) ? 0 : 3)) header.fill(48, key - from, key - to);
      // It takes its copy when it is called, so the bytes are whole again before anybody else sees them; a copy of our own
      // is the dearer, the larger the bundle.
      content = crypto.subtle.digest("SHA-256", bundle);
    } finally {
      header.set(seen);
    }
    const hashes = await Promise.all(SCORES_ALONE ? [content] : [content, crypto.subtle.digest("SHA-256", bundle)]);
    return new Uint8Array(hashes.flatMap((hash) => [...new Uint8Array(hash)]));
  } catch {
    return new Uint8Array();
  }
}

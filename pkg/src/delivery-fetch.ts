import type { Receiver } from "./delivery.js";
import { RankletError, failure } from "./reasons.js";

/** An answer that is late counts as none: whatever comes after is dropped. */
export async function inTime<T>(work: Promise<T>, ms: number, abort?: AbortController): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new RankletError("bundle_fetch_failed", `no answer in ${ms} ms`));
      abort?.abort();
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The bytes of a channel and its ETag; null: as before. */
export interface Answer {
  bytes: Uint8Array<ArrayBuffer>;
  etag: string | null;
}

/**
 * Asks whether a channel is still as it was. A browser's cache asks by itself, and across origins an ETag of ours would
 * cost a preflight; elsewhere it is said here. What no `fetch` reads (a file in Node), the platform does.
 */
export async function ask(source: URL | string, etag: string | null, to: Receiver, ms: number): Promise<Answer | null> {
  const browser = typeof location === "object";
  if (!browser && !/^https?:/i.test(String(source))) return { bytes: await inTime(to.read(source), ms), etag: null };
  try {
    const abort = new AbortController();
    const request: RequestInit = { signal: abort.signal };
    if (browser) request.cache = "no-cache";
    else if (etag !== null) request.headers = { "if-none-match": etag };
    const answer = async () => {
      const response = await fetch(source, request);
      if (response.status === 304) return null;
      if (!response.ok) throw new Error(`the channel answered ${response.status}`);
      return { bytes: new Uint8Array(await response.arrayBuffer()), etag: response.headers.get("etag") };
    };
    return await inTime(answer(), ms, abort);
  } catch (thrown) {
    throw failure(thrown, "bundle_fetch_failed");
  }
}

/** A bundle's address as its channel means it. */
export function resolved(url: string, channel: URL | string): URL | string {
  try {
    return new URL(url, new URL(channel, globalThis.location?.href));
  } catch {
    return url; // A path beside a path, in Node.
  }
}

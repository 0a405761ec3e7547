import { RankletError, describe, failure, type Reason } from "./reasons.js";
import type { BytesSource } from "./types.js";

/** What differs between platforms: how a name is read, and where the runtime lies. */
export interface Platform {
  read(source: URL | string): Promise<Response | Uint8Array>;
  /** Whether `runtime` comes compiled, from a host that forbids compiling. */
  compiled?: boolean;
  runtime(): Promise<Response | Uint8Array | WebAssembly.Module>;
}

export type WasmInput = BytesSource | WebAssembly.Module | Promise<BytesSource | WebAssembly.Module> | undefined;

// The smallest module there is: a magic number and a version.
const EMPTY = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);

// () -> v128: f32.const 0, f32x4.splat, end.
const SIMD = Uint8Array.of(
  ...EMPTY, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 11, 1, 9, 0, 67, 0, 0, 0, 0, 253, 19, 11,
);

/** A promise of the caller's, or its value, as a promise that is never found unhandled: it may reject long before it is needed. */
export function quiet<T>(given: T | PromiseLike<T>): Promise<T> {
  const promise = Promise.resolve(given);
  promise.catch(() => undefined);
  return promise;
}

/** Whether this place can run the runtime at all; asked before anything is fetched. */
export function probe(wasm: unknown, platform: Platform): void {
  if (typeof WebAssembly !== "object" || typeof WebAssembly.instantiate !== "function") {
    throw new RankletError("wasm_unavailable", "there is no WebAssembly here");
  }
  const compiled = wasm === undefined ? platform.compiled : isModule(wasm);
  if (!compiled) {
    try {
      // At once: a compile that is waited for costs a turn of the event loop before anything is read.
      new WebAssembly.Module(EMPTY);
    } catch (thrown) {
      throw new RankletError("csp_blocked", describe(thrown));
    }
  }
  if (!WebAssembly.validate(SIMD)) {
    throw new RankletError("simd_unavailable", "this WebAssembly has no 128-bit SIMD");
  }
}

/** The bytes of any source. They are the loader's own: a caller may reuse or transfer its buffer. */
export async function readBytes(
  input: BytesSource | Promise<BytesSource>,
  platform: Platform,
  code: Reason,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const found = await resolve(input, platform);
    if (isResponse(found)) return new Uint8Array(await ok(found).arrayBuffer());
    return copyOf(found);
  } catch (thrown) {
    throw failure(thrown, code);
  }
}

/** The compiled runtime: streamed where the server names the type, compiled from bytes where it does not. */
export async function readModule(input: WasmInput, platform: Platform): Promise<WebAssembly.Module> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    // No turn of the queue where none is needed: a bundle's bytes are copied and hashed while the module compiles.
    const given = isPromise(input) ? await input : input;
    const found = given === undefined ? await platform.runtime() : isName(given) ? await platform.read(given) : given;
    if (isModule(found)) return found as WebAssembly.Module;
    if (isResponse(found)) {
      const type = ok(found).headers.get("content-type") ?? "";
      if (/^application\/wasm\s*(;|$)/i.test(type)) return await WebAssembly.compileStreaming(found);
      bytes = new Uint8Array(await found.arrayBuffer());
    } else {
      bytes = copyOf(found);
    }
  } catch (thrown) {
    // Streaming fails in one place for two reasons; the type of the error tells the body from the network.
    const code = thrown instanceof WebAssembly.CompileError ? "wasm_invalid" : "wasm_fetch_failed";
    throw new RankletError(code, describe(thrown));
  }
  try {
    return await WebAssembly.compile(bytes);
  } catch (thrown) {
    throw new RankletError("wasm_invalid", describe(thrown));
  }
}

type Found<T> = Exclude<T, URL | string> | Response | Uint8Array;

async function resolve<T>(input: T | Promise<T>, platform: Platform): Promise<Found<T>> {
  const source = await input;
  return isName(source) ? platform.read(source) : (source as Found<T>);
}

function isName(source: unknown): source is URL | string {
  return typeof source === "string" || source instanceof URL;
}

function isPromise<T>(given: T | Promise<T>): given is Promise<T> {
  return typeof (given as PromiseLike<T> | undefined)?.then === "function";
}

// Not `instanceof`: an edge host hands over what another realm has compiled.
function isModule(found: unknown): boolean {
  return (found as { [Symbol.toStringTag]?: unknown } | null)?.[Symbol.toStringTag] === "WebAssembly.Module";
}

// Not `instanceof`: a Response of another realm or of a caller's fetch polyfill is one too.
function isResponse(found: unknown): found is Response {
  return typeof (found as Response | null)?.arrayBuffer === "function";
}

function ok(response: Response): Response {
  if (!response.ok) throw new Error(`${response.url || "the response"} answered ${response.status}`);
  return response;
}

function copyOf(found: unknown): Uint8Array<ArrayBuffer> {
  if (ArrayBuffer.isView(found)) {
    return new Uint8Array(found.buffer as ArrayBuffer, found.byteOffset, found.byteLength).slice();
  }
  if (found instanceof ArrayBuffer) return new Uint8Array(found.slice(0));
  throw new Error("neither a URL, bytes nor a Response");
}

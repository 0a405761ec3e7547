import { RankletError } from "./reasons.js";

/** Where `ranklet embed` puts a bundle. */
const SECTION = "ranklet.bundle";

/** The bundle in the runtime itself: a copy. Throws `bundle_fetch_failed` where there is none. */
export function embedded(module: WebAssembly.Module): Uint8Array<ArrayBuffer> {
  const [bundle] = WebAssembly.Module.customSections(module, SECTION);
  if (bundle) return new Uint8Array(bundle);
  throw new RankletError(
    "bundle_fetch_failed",
    "no bundle was given, and the runtime has none in it: give `bundle`, or a `wasm` that `ranklet embed` made",
  );
}

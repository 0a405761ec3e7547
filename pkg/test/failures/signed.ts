// Signed files for the cells, and the lines to pin; made by the tests' own signer.
import { bundle } from "../fixtures.js";
import { channel, digestOf, makeKeys, signed, withSlots } from "../signing.js";

type Bytes = Uint8Array<ArrayBuffer>;

const keys = makeKeys();
const version = (number: number) => withSlots(bundle(), (manifest) => void (manifest.version = number));
const turned = (bytes: Bytes) => bytes.map((byte, at) => (at === bytes.length >> 1 ? byte ^ 1 : byte));
let good: Bytes | undefined;
/** ECDSA by OpenSSL draws a number of its own: the same file is signed once. */
const once = () => (good ??= signed(version(3), keys));

export const SIGNED: Record<string, () => Bytes> = {
  keys: () => new Uint8Array(Buffer.from(keys.pub.join("\n"))),
  signed: once,
  slotted: () => version(3),
  forged: () => signed(version(4), makeKeys()),
  turned: () => turned(once()),
  older: () => signed(version(2), keys),
  "signed-golden": () => signed(withSlots(bundle(), (manifest, tensor) => {
    manifest.version = 4;
    const scores = tensor(manifest.golden.outputs.at(-1));
    scores.setFloat32(0, scores.getFloat32(0, true) + 0.25, true);
  }), keys),
  channel: () => channel({ bundles: [{ url: "signed", sha256: digestOf(once()), version: 3 }] }, keys),
  killed: () => channel({ sequence: 2, disabled: { detail: "wrong prices" }, bundles: [] }, keys),
};

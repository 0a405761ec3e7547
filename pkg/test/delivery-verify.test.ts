// What a page lets through: the test vectors of the native verifier, every byte of a small bundle, keys that come and go, and a
// header that may be anything. The verifier is asked directly; through a reranker it is asked in delivery.test.ts.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { bucketOf, readChannel, sealChannel } from "../src/delivery-channel.js";
import { headerEnd, sealBundle, stated } from "../src/delivery-slots.js";
import { PinnedKeys } from "../src/delivery-verify.js";
import { bundle, root } from "./fixtures.js";
import { channel, makeKeys, signed, withSlots } from "./signing.js";

const fixture = (name: string) => readFileSync(join(root, "tests/fixtures/signing", name));
const vectors = JSON.parse(fixture("vectors.json").toString()) as {
  cases: { name: string; keys: string[]; codes: string[]; edits: { at: number; text: string }[]; length?: number }[];
};
const small = new Uint8Array(fixture("signed.ranklet"));
const one = fixture("one.test.pub").toString();
const two = fixture("two.test.pub").toString();

/** The code that a file is refused with; nothing: let through. Anything thrown but a coded error fails the test. */
async function refusal(bytes: Uint8Array, keys: PinnedKeys): Promise<string | undefined> {
  try {
    await keys.verify(sealBundle(bytes));
    stated(bytes);
    return undefined;
  } catch (thrown) {
    expect(thrown).toMatchObject({ name: "RankletError" });
    return (thrown as { code: string }).code;
  }
}

afterEach(() => vi.restoreAllMocks());

test.each(vectors.cases)("as natively: $name", async ({ keys, codes, edits, length }) => {
  const bytes = small.slice(0, length);
  for (const { at, text } of edits) bytes.set(Buffer.from(text), at);
  const found = await refusal(bytes, new PinnedKeys(keys.map((name) => fixture(`${name}.test.pub`).toString())));
  if (codes.length === 0) expect(found).toBeUndefined();
  else expect(codes).toContain(found);
});

test("every byte of a signed bundle, with a bit turned, is refused; so is every bit of its slots", async () => {
  const keys = new PinnedKeys(one);
  const header = Buffer.from(small).subarray(0, headerEnd(small)).toString("latin1");
  const slots = [header.indexOf('"ranklet.signature.ed25519"'), header.indexOf('"sha256":"')] as const;
  const let_through: string[] = [];
  let tried = 0;
  const turn = async (at: number, bit: number) => {
    const bytes = small.slice();
    bytes[at]! ^= 1 << bit;
    tried++;
    if ((await refusal(bytes, keys)) === undefined) let_through.push(`${at}.${bit}`);
  };
  for (let at = 0; at < small.length; at++) await turn(at, at % 8);
  for (let at = slots[0]; at < slots[1]; at++) for (let bit = 0; bit < 8; bit++) await turn(at, bit);
  expect(let_through).toEqual([]);
  expect(tried).toBeGreaterThan(small.length + 8 * 289);
}, 60_000);

test("every length that a signed bundle is cut to is refused", async () => {
  const keys = new PinnedKeys(one);
  for (let length = 0; length < small.length; length += length < 4600 ? 1 : 97) {
    expect(await refusal(small.slice(0, length), keys)).toBeDefined();
  }
  expect(await refusal(Uint8Array.of(...small, 0), keys)).toBe("bundle_signature");
});

test("rotation: any pinned key will do, and one that is taken away is revoked", async () => {
  expect(await refusal(small, new PinnedKeys([two, one]))).toBeUndefined();
  expect(await refusal(small, new PinnedKeys(two))).toBe("bundle_signature");
  expect(await refusal(small, new PinnedKeys([]))).toBe("bundle_signature");
  // A key of one kind revokes the pair where the other kind is pinned still.
  const [, , p256] = one.trim().split("\n");
  expect(await refusal(small, new PinnedKeys([two, p256!]))).toBe("bundle_signature");
  expect(await refusal(small, new PinnedKeys(p256!))).toBeUndefined();
});

test("keys that are none are refused without their words", () => {
  const secret = `ed25519:${"ab".repeat(31)}`;
  for (const text of [secret, "rsa:00", `p256:02${"00".repeat(64)}`, `ed25519:${"AB".repeat(32)}`]) {
    expect(() => new PinnedKeys(text)).toThrow(expect.objectContaining({ code: "request_invalid", message: expect.not.stringContaining(text) }));
  }
});

test("by one kind alone: what the other slot would hold is nothing, and nothing else", async () => {
  const keys = makeKeys();
  const bytes = withSlots(bundle());
  const pinned = new PinnedKeys(keys.pub);
  for (const kind of ["ed25519", "p256"]) {
    const half = signed(bytes, keys, undefined, [kind]);
    expect(await refusal(half, pinned)).toBeUndefined();
    const other = half.slice();
    other[Buffer.from(half).indexOf(`"ranklet.signature.${kind === "p256" ? "ed25519" : "p256"}":"`) + 30]! ^= 1;
    expect(await refusal(other, pinned)).toBe("bundle_signature");
  }
  // Another domain, another message.
  expect(await refusal(signed(bytes, keys, "ranklet-channel-v1"), pinned)).toBe("bundle_signature");
});

test("a platform without Ed25519 verifies P-256; with neither, or without WebCrypto, nothing is let through", async () => {
  const real = crypto.subtle.importKey.bind(crypto.subtle) as (...given: unknown[]) => Promise<CryptoKey>;
  const lacking = (names: string[]) =>
    vi.spyOn(crypto.subtle, "importKey").mockImplementation(((...given: unknown[]) =>
      names.includes((given[2] as { name: string }).name)
        ? Promise.reject(new DOMException("no such algorithm", "NotSupportedError"))
        : real(...given)) as never);
  lacking(["Ed25519"]);
  const flipped = small.slice();
  flipped[small.length - 1]! ^= 1;
  const p256 = small.slice();
  p256[Buffer.from(small).indexOf('"ranklet.signature.p256":"') + 40]! ^= 1;
  expect(await refusal(small, new PinnedKeys(one))).toBeUndefined();
  expect(await refusal(flipped, new PinnedKeys(one))).toBe("bundle_signature");
  expect(await refusal(p256, new PinnedKeys(one))).toBe("bundle_signature");
  lacking(["Ed25519", "ECDSA"]);
  expect(await refusal(small, new PinnedKeys(one))).toBe("signature_unavailable");
  vi.restoreAllMocks();
  vi.spyOn(globalThis, "crypto", "get").mockReturnValue({} as Crypto);
  expect(await refusal(small, new PinnedKeys(one))).toBe("signature_unavailable");
});

test("property: a header of any bytes, and any edit of a good one, gives a coded refusal or the bundle, and ends", async () => {
  const keys = new PinnedKeys(one);
  const framed = fc.tuple(fc.uint8Array({ maxLength: 400 }), fc.nat(500)).map(([text, length]) => {
    const bytes = new Uint8Array(8 + text.length);
    new DataView(bytes.buffer).setUint32(0, length, true);
    bytes.set(text, 8);
    return bytes;
  });
  const json = fc.json({ maxDepth: 6 }).map((text) => {
    const body = Buffer.from(text);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(body.length));
    return new Uint8Array(Buffer.concat([size, body]));
  });
  const moved = fc.array(fc.tuple(fc.nat(small.length - 1), fc.uint8Array({ minLength: 1, maxLength: 40 })), { minLength: 1, maxLength: 4 }).map((edits) => {
    const bytes = small.slice();
    for (const [at, put] of edits) bytes.set(put.subarray(0, bytes.length - at), at);
    return bytes;
  });
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), framed, json, moved), async (bytes) => {
      const found = await refusal(bytes, keys);
      if (found === undefined) expect(bytes).toEqual(small);
      else expect(["bundle_corrupt", "bundle_signature", "bundle_unsigned"]).toContain(found);
    }),
    { numRuns: 1500 },
  );
}, 60_000);

test("a header as deep or as long as it can be does not stop the reader", async () => {
  const keys = new PinnedKeys(one);
  const file = (text: string, length = text.length) => {
    const bytes = new Uint8Array(8 + text.length);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
    bytes.set(Buffer.from(text, "latin1"), 8);
    return bytes;
  };
  for (const bytes of [
    file("[".repeat(1 << 20)),
    file(`{"__metadata__":${'{"a":'.repeat(1 << 18)}`),
    file('"ranklet.signature.keys"'.repeat(1 << 15)),
    file(`"ranklet.signature.keys"${" ".repeat(1 << 20)}`),
    file("{}", 2 ** 40),
    file("{}", 2 ** 31),
  ]) {
    const began = performance.now();
    expect(["bundle_corrupt", "bundle_signature", "bundle_unsigned"]).toContain(await refusal(bytes, keys));
    expect(() => stated(bytes)).toThrow(expect.objectContaining({ code: "bundle_corrupt" }));
    expect(performance.now() - began).toBeLessThan(2000);
  }
});

test("a bundle without slots is unsigned; with a part of them, or one twice, it is no signature", async () => {
  const keys = makeKeys();
  const pinned = new PinnedKeys(keys.pub);
  expect(await refusal(withSlots(bundle()), pinned)).toBe("bundle_unsigned");
  const good = signed(withSlots(bundle()), keys);
  expect(await refusal(good, pinned)).toBeUndefined();
  const renamed = Buffer.from(good);
  renamed.write("ranklet.signature.kayz", renamed.indexOf("ranklet.signature.keys"));
  expect(await refusal(new Uint8Array(renamed), pinned)).toBe("bundle_signature");
});

test("a channel is signed by the same slots in another domain", async () => {
  const keys = makeKeys();
  const pinned = new PinnedKeys(keys.pub);
  const bytes = channel({ bundles: [] }, keys);
  await pinned.verify(sealChannel(bytes));
  for (let at = 0; at < bytes.length; at++) {
    const other = bytes.slice();
    other[at]! ^= 1;
    await expect((async () => pinned.verify(sealChannel(other)))()).rejects.toMatchObject({ name: "RankletError" });
  }
  // Spaces are the author's own.
  const spaced = Buffer.from(JSON.stringify(JSON.parse(Buffer.from(channel({ bundles: [] }, keys)).toString()), null, 2));
  await expect((async () => pinned.verify(sealChannel(new Uint8Array(spaced))))()).rejects.toMatchObject({ code: "bundle_signature" });
});

test("property: a channel of any bytes is a channel or an Error", () => {
  const shaped = fc.record({
    format: fc.oneof(fc.constant(1), fc.anything()), sequence: fc.oneof(fc.nat(), fc.anything()), ttl_ms: fc.oneof(fc.nat(), fc.anything()),
    salt: fc.oneof(fc.string(), fc.anything()), offline: fc.oneof(fc.constant("off"), fc.anything()), disabled: fc.anything(), bundles: fc.anything(),
  }).map((value) => {
    try {
      return new Uint8Array(Buffer.from(JSON.stringify(value)));
    } catch {
      return new Uint8Array();
    }
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), shaped), (bytes) => {
      try {
        const { bundles, ttlMs, sequence } = readChannel(bytes);
        expect(Array.isArray(bundles) && ttlMs >= 0 && Number.isSafeInteger(sequence)).toBe(true);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(Error);
        expect((thrown as Error).name).not.toBe("AssertionError");
      }
    }),
    { numRuns: 2000 },
  );
});

test("a bucket is what a server computes: known values, a fair share, and stages that only grow", async () => {
  // printf 'spring\0user-7' | sha256sum: the first eight digits over 2^32, times 100.
  const { createHash } = await import("node:crypto");
  const expected = (parseInt(createHash("sha256").update("spring\0user-7").digest("hex").slice(0, 8), 16) * 100) / 2 ** 32;
  expect(await bucketOf("spring", "user-7")).toBe(expected);
  const buckets = await Promise.all(Array.from({ length: 4000 }, (_, unit) => bucketOf("spring", String(unit))));
  const under = (percent: number) => buckets.filter((bucket) => bucket < percent).length / buckets.length;
  for (const percent of [1, 5, 25, 50, 90]) {
    // Four standard deviations.
    expect(Math.abs(under(percent) - percent / 100)).toBeLessThan(4 * Math.sqrt(((percent / 100) * (1 - percent / 100)) / buckets.length));
  }
  expect(Math.max(...buckets)).toBeLessThan(100);
});

// How a scorer's arrays come into the engine's memory and out of it: every type of input, lists of every length in any order,
// several scorers, and callers whose objects do something when they are read.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createScorer, RankletError, type Scorer, type Tensor, type Tensors } from "ranklet/scorer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { binary, root, wasm } from "./fixtures.js";
import { trapping } from "./sabotage.js";

const folder = mkdtempSync(join(tmpdir(), "ranklet-"));
const CONTEXT = ["context", "history", "mask", "seen"];
let bytes: Uint8Array<ArrayBuffer>;
let scorer: Scorer;

beforeAll(async () => {
  const compiled = join(folder, "towers.ranklet");
  execFileSync(binary, ["compile", join(root, "tests/fixtures/din_towers.onnx"), "-o", compiled]);
  bytes = new Uint8Array(readFileSync(compiled));
  scorer = await createScorer({ bundle: bytes.slice() });
});

afterAll(() => {
  scorer?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

function tensors(rows: number, seed = rows): Tensors {
  let state = seed + 1;
  const below = (n: number) => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8) % n;
  return Object.fromEntries(
    scorer.inputs.map(({ name, dtype, dims }) => {
      const sizes = dims.map((size) => (size < 0 ? rows : size));
      const length = sizes.reduce((product, size) => product * size, 1);
      const values = Array.from({ length }, () => below(4000));
      const data =
        dtype === "i64" ? BigInt64Array.from(values, (value) => BigInt(value % 40))
        : dtype === "i32" ? Int32Array.from(values, (value) => value % 40)
        : Float32Array.from(values, (value) => value / 1000 - 2);
      return [name, { data, dims: sizes }];
    }),
  );
}

const only = (all: Tensors, wanted: (name: string) => boolean) => Object.fromEntries(Object.entries(all).filter(([name]) => wanted(name)));
const isContext = (name: string) => CONTEXT.includes(name);

/** By an engine that has seen nothing else. */
async function cold(inputs: Tensors): Promise<Tensors> {
  const fresh = await createScorer({ bundle: bytes.slice() });
  const outputs = fresh.score(inputs);
  fresh.dispose();
  return outputs;
}

function code(use: () => unknown): string {
  try {
    use();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(RankletError);
    return (thrown as RankletError).code;
  }
  return "none";
}

test("inputs of three types", () => {
  expect(scorer.inputs.map(({ dtype }) => dtype).sort()).toEqual(["f32", "f32", "f32", "f32", "f32", "i32", "i64"]);
  const [some, others] = [tensors(5), tensors(5)];
  for (const { name } of scorer.inputs) {
    const { data } = others[name]!;
    if (name !== "mask") data[0] = (typeof data[0] === "bigint" ? 39n - data[0] : 39 - data[0]!) as never;
    // Each counts, unless the engine were to read something else.
    if (name !== "mask") expect([name, scorer.score({ ...some, [name]: others[name]! })]).not.toEqual([name, scorer.score(some)]);
  }
});

test("lists of any length in any order, prepared or not, and several scorers: as by a fresh engine", async () => {
  const lengths = [1, 3, 0, 700, 2, 20_000, 1, 701, 40_000, 5];
  const expected = await Promise.all(lengths.map((rows) => cold(tensors(rows))));
  const own = await createScorer({ bundle: bytes.slice() });
  const [first, second] = [own, await createScorer({ bundle: bytes.slice() })];
  const kept = lengths.map((rows) => own.prepare(only(tensors(rows), (name) => !isContext(name))));
  const shared = own.prepare(only(tensors(1), isContext));
  for (const turn of [0, 1]) {
    for (const [i, rows] of lengths.entries()) {
      const inputs = tensors(rows);
      for (const [name, { data, dims }] of Object.entries(expected[i]!)) {
        expect(dims).toEqual([rows, 1]);
        expect(data.length).toBe(rows);
        const found = [first.score(inputs), kept[i]!.score(only(inputs, isContext)), second.score(inputs)].map((outputs) => outputs[name]!);
        for (const one of found) {
          expect(one.dims).toEqual(dims);
          expect(one.data.buffer.byteLength).toBe(rows * 4);
          expect([turn, rows, name, Buffer.compare(Buffer.from(one.data.buffer as ArrayBuffer), Buffer.from(data.buffer as ArrayBuffer))]).toEqual([turn, rows, name, 0]);
        }
      }
      // The context of another list.
      const mixed = { ...inputs, ...only(tensors(1), isContext) };
      expect(shared.score(only(inputs, (name) => !isContext(name)))).toEqual(second.score(mixed));
    }
  }
  second.dispose();
  own.dispose();
});

test("memory that others share is read like any", () => {
  const inputs = tensors(4);
  const shared = Object.fromEntries(
    Object.entries(inputs).map(([name, { data, dims }]) => {
      const copy = new (data.constructor as Float32ArrayConstructor)(new SharedArrayBuffer(data.byteLength + 16) as never, 8, data.length);
      copy.set(data as Float32Array);
      return [name, { data: copy, dims }];
    }),
  );
  expect(scorer.score(shared)).toEqual(scorer.score(inputs));
});

test("what was detached is empty, and what goes while it is read is told, not scored", () => {
  const detach = ({ data }: Tensor) => structuredClone(data.buffer, { transfer: [data.buffer as ArrayBuffer] });
  const expected = scorer.score(tensors(3));
  const gone = tensors(3);
  detach(gone["item"]!);
  expect(code(() => scorer.score(gone))).toBe("request_invalid");
  const empty = tensors(0);
  detach(empty["item"]!);
  expect(Object.values(scorer.score(empty)).map(({ data }) => data.length)).toEqual([0, 0]);
  for (const name of scorer.inputs.slice(1).map(({ name }) => name)) {
    const inputs = tensors(3);
    const before = scorer.inputs[0]!.name;
    const one = inputs[name]!;
    const sly = { ...inputs, get [name]() { detach(inputs[before]!); return one; } };
    expect([name, code(() => scorer.score(sly))]).toEqual([name, "request_invalid"]);
  }
  // No trap: the engine is there at once.
  expect(scorer.score(tensors(3))).toEqual(expected);
});

test("a getter that scores something else meanwhile, or throws, or lies, changes no other's scores", async () => {
  const expected = await cold(tensors(3));
  const names = scorer.inputs.map(({ name }) => name);
  const candidates = scorer.prepare(only(tensors(3), (name) => !isContext(name)));
  for (const name of names) {
    const inputs = tensors(3);
    const { data, dims } = inputs[name]!;
    const busy = { dims, get data() { scorer.score(tensors(50_000 + names.indexOf(name))); candidates.score(only(tensors(9), isContext)); return data; } };
    expect(scorer.score({ ...inputs, [name]: busy })).toEqual(expected);
    if (isContext(name)) expect(candidates.score({ ...only(inputs, isContext), [name]: busy })).toEqual(expected);
    const throwing = { dims, get data(): never { throw new Error("no"); } };
    expect(code(() => scorer.score({ ...inputs, [name]: throwing }))).toBe("request_invalid");
    const fakes: unknown[] = [
      { data: Object.create(Object.getPrototypeOf(data) as object), dims },
      { data: new Proxy(data, {}), dims },
      { data, dims: new Proxy(dims, { get() { throw new Error("no"); } }) },
      { data, dims: { ...dims } },
      { data, dims: [...dims, 1.5] },
      { data, dims: new Array(4e9) },
      { data, dims: [2 ** 32 + 1, 0] },
      { data: new Float64Array(data.length), dims },
      { data: [...(data as Float32Array)], dims },
    ];
    for (const fake of fakes) expect([name, code(() => scorer.score({ ...inputs, [name]: fake as Tensor }))]).toEqual([name, "request_invalid"]);
    const wrong: Tensor[] = [
      { data: new (data instanceof Int32Array ? Float32Array : Int32Array)(data.length), dims },
      { data: data.slice(0, 0), dims: [0, ...dims] },
      { data, dims: [...dims, 1] },
    ];
    for (const one of wrong) expect([name, code(() => scorer.score({ ...inputs, [name]: one }))]).toEqual([name, "schema_mismatch"]);
  }
  expect(scorer.score(tensors(3))).toEqual(expected);
});

test("what a caller does with the descriptions of the ports moves nothing", async () => {
  const own = await createScorer({ bundle: bytes.slice() });
  const inputs = tensors(3);
  const expected = own.score(inputs);
  for (const port of [...own.inputs, ...own.outputs]) {
    port.dims.fill(1000);
    port.dtype = "f32";
    port.name = "x";
  }
  expect(own.score(inputs)).toEqual(expected);
  own.dispose();
});

test("after a trap the arrays are those of the engine that comes", async () => {
  const expected = await cold(tensors(3));
  const own = await createScorer({ bundle: bytes.slice(), wasm: trapping(wasm("scorer"), "engine_score_free") });
  const candidates = own.prepare(only(tensors(3), (name) => !isContext(name)));
  const context = only(tensors(3), isContext);
  expect(candidates.score(context)).toEqual(expected);
  own.prepare({}).dispose();
  expect(code(() => own.score(tensors(3)))).toBe("trapped");
  // Made anew from what is there: a matter of a few turns.
  for (let turn = 0; turn < 100 && code(() => own.score(tensors(3))) !== "none"; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
  expect(own.score(tensors(3))).toEqual(expected);
  expect(candidates.score(context)).toEqual(expected);
  own.dispose();
});

test("what goes while a list is prepared is copied before, and a class that lies about its length is found out", () => {
  const all = tensors(3);
  const first = scorer.inputs.find(({ name, dtype }) => !isContext(name) && dtype === "f32")!.name;
  const last = scorer.inputs.filter(({ name }) => !isContext(name)).at(-1)!.name;
  const expected = scorer.score(all);
  const candidates = only(all, (name) => !isContext(name));
  const gone = { data: (all[first]!.data as Float32Array).slice(), dims: all[first]!.dims };
  const given = { ...candidates, [first]: gone, get [last]() {
    structuredClone(gone.data, { transfer: [gone.data.buffer] });
    return candidates[last]!;
  } };
  expect(first).not.toBe(last);
  expect(scorer.prepare(given).score(only(all, isContext))).toEqual(expected);
  expect(gone.data.length).toBe(0);

  class Liar extends Float32Array {
    override get length(): number {
      return (all[first]!.data as Float32Array).length;
    }
  }
  const lies = { ...all, [first]: { data: new Liar(1), dims: all[first]!.dims } };
  expect(code(() => scorer.score(lies))).toBe("request_invalid");
  expect(code(() => scorer.prepare(only(lies, (name) => !isContext(name))))).toBe("request_invalid");
  expect(scorer.score(all)).toEqual(expected);
});

test("after a list that is too long for the last of the outputs, the first one is read where it is", async () => {
  const compiled = join(folder, "pairs.ranklet");
  execFileSync(binary, ["compile", join(root, "tests/fixtures/list_pairs.onnx"), "-o", compiled]);
  const pairs = await createScorer({ bundle: new Uint8Array(readFileSync(compiled)) });
  const list = (rows: number, by: number) => ({ x: { data: Float32Array.from({ length: 2 * rows }, (_, i) => (i % 7) * by), dims: [rows, 2] } });
  const expected = pairs.score(list(3, 0.5)).score!.data;
  pairs.score(list(3, 2));
  // 2^26 elements are allowed.
  expect(code(() => pairs.score(list(8200, 1)))).toBe("limit_exceeded");
  expect(pairs.score(list(3, 0.5)).score!.data).toEqual(expected);
  pairs.dispose();
});

test("a preparation never has the handle of none", async () => {
  const fresh = await createScorer({ bundle: bytes.slice() });
  const candidates = only(tensors(1), (name) => !isContext(name));
  // As many as there are generations of a slot.
  for (let i = 0; i < 65_535; i++) fresh.prepare(candidates).dispose();
  const kept = fresh.prepare(candidates);
  const other = tensors(3, 9);
  expect(fresh.score(other)).toEqual(await cold(other));
  kept.dispose();
  fresh.dispose();
});

test("more than can be is refused with a code, and the next list is scored", () => {
  const expected = scorer.score(tensors(3));
  const { data } = tensors(3)["context"]!;
  const many = { ...tensors(3), context: { data, dims: [2 ** 26 + 1, 0] } };
  expect(code(() => scorer.score(many))).toBe("request_invalid");
  expect(scorer.score(tensors(3))).toEqual(expected);
});

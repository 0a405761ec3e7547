import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createScorer, RankletError, type Scorer, type Tensors } from "ranklet/scorer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { binary, bundle, bundlePath, root, wasm } from "./fixtures.js";
import { trapping } from "./sabotage.js";

let scorer: Scorer;
let name: string;
let width: number;

beforeAll(async () => {
  scorer = await createScorer({ bundle: bundle() });
  [{ name, dims: [, width] }] = scorer.inputs as unknown as [{ name: string; dims: [number, number] }];
});

afterAll(() => scorer?.dispose());

function matrix(rows: number, seed = 1): Tensors {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const data = Float32Array.from({ length: rows * width }, () => (next() < 0.1 ? NaN : next() * 8 - 2));
  return { [name]: { data, dims: [rows, width] } };
}

test("every output under its own name, type and shape, and as copies", () => {
  const inputs = matrix(7);
  const outputs = scorer.score(inputs);
  expect(Object.keys(outputs)).toEqual(scorer.outputs.map((output) => output.name));
  for (const { data, dims } of Object.values(outputs)) {
    expect(dims[0]).toBe(7);
    expect(data.length).toBe(dims.reduce((product, size) => product * size, 1));
    expect(data.buffer.byteLength).toBe(data.byteLength);
  }
  const again = scorer.score(inputs);
  expect(again).toEqual(outputs);
  for (const { data } of Object.values(again)) (data as Uint8Array).fill((typeof data[0] === "bigint" ? 0n : 0) as number);
  expect(scorer.score(inputs)).toEqual(outputs);
});

test("a row's bits depend on neither the others nor their number", () => {
  const inputs = matrix(9);
  const all = scorer.score(inputs);
  const { data } = inputs[name] as { data: Float32Array };
  for (let row = 0; row < 9; row++) {
    const one = scorer.score({ [name]: { data: data.slice(row * width, (row + 1) * width), dims: [1, width] } });
    for (const [output, tensor] of Object.entries(one)) {
      const size = tensor.data.length;
      expect(Array.from(all[output]!.data.slice(row * size, (row + 1) * size) as Float32Array)).toEqual(Array.from(tensor.data as Float32Array));
    }
  }
});

test("no rows, and many", () => {
  expect(Object.values(scorer.score(matrix(0)))[0]!.dims[0]).toBe(0);
  expect(Object.values(scorer.score(matrix(5000)))[0]!.dims[0]).toBe(5000);
});

test("the same bits as the native command line", () => {
  const folder = mkdtempSync(join(tmpdir(), "ranklet-"));
  const inputs = matrix(2000, 7);
  writeFileSync(join(folder, "in.safetensors"), safetensors(inputs));
  execFileSync(binary, ["score", bundlePath, "--inputs", join(folder, "in.safetensors"), "-o", join(folder, "out.safetensors")]);
  const native = tensorsOf(readFileSync(join(folder, "out.safetensors")));
  const outputs = scorer.score(inputs);
  expect([...native.keys()].sort()).toEqual(Object.keys(outputs).sort());
  for (const [output, { data }] of Object.entries(outputs)) {
    expect(Buffer.from(data.buffer, data.byteOffset, data.byteLength).equals(native.get(output)!.bytes)).toBe(true);
  }
  rmSync(folder, { recursive: true });
});

test("a name is told and taken as it is, whatever characters it has", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ranklet-"));
  try {
    const model = readFileSync(join(root, "tests/fixtures/mlp.onnx"));
    for (const odd of ['"', "\\", "\n", "\u0001", "\u007f"]) {
      // Wherever a field of one character is the input's name.
      const named = Buffer.from(model);
      for (let at = named.indexOf("\n\u0001X"); at >= 0; at = named.indexOf("\n\u0001X", at + 1)) named.write(odd, at + 2);
      writeFileSync(join(folder, "odd.onnx"), named);
      execFileSync(binary, ["compile", join(folder, "odd.onnx"), "-o", join(folder, "odd.ranklet")], { stdio: "ignore" });
      const own = await createScorer({ bundle: readFileSync(join(folder, "odd.ranklet")) });
      expect(own.inputs.map((input) => input.name)).toEqual([odd]);
      const [{ dims: [, columns] }] = own.inputs as unknown as [{ dims: [number, number] }];
      const scores = own.score({ [odd]: { data: new Float32Array(2 * columns).fill(0.5), dims: [2, columns] } });
      expect(Object.values(scores)[0]!.data.length).toBeGreaterThanOrEqual(2);
      own.dispose();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("what a caller does with the ports it is told changes no scores", () => {
  const inputs = matrix(3);
  const before = scorer.score(inputs);
  const told = scorer.inputs[0] as { name: string; dims: number[] };
  const kept = [...told.dims];
  told.dims.fill(1);
  expect(scorer.score(inputs)).toEqual(before);
  told.dims.splice(0, told.dims.length, ...kept);
});

test("every exporter's file scores as it does natively, bit for bit", async () => {
  const fixtures = join(root, "tests/fixtures");
  const folder = mkdtempSync(join(tmpdir(), "ranklet-"));
  const [compiled, given, found] = ["model.ranklet", "in.safetensors", "out.safetensors"].map((file) => join(folder, file)) as [string, string, string];
  let compared = 0;
  for (const file of readdirSync(fixtures).filter((file) => file.endsWith(".safetensors"))) {
    const onnx = join(fixtures, file.replace(/safetensors$/, "onnx"));
    const stored = tensorsOf(readFileSync(join(fixtures, file)));
    const inputs = [...stored].filter(([tensor]) => tensor.startsWith("in.")).map(([tensor, value]) => [tensor.slice(3), value] as const);
    // One float matrix is what most exporters ask for; the command line takes the others as well.
    if (inputs.length !== 1 || inputs[0]![1].dtype !== "F32") continue;
    const [input, { bytes, shape }] = inputs[0]!;
    const tensors: Tensors = { [input]: { data: new Float32Array(new Uint8Array(bytes).buffer), dims: shape } };
    execFileSync(binary, ["compile", onnx, "-o", compiled]);
    writeFileSync(given, safetensors(tensors));
    execFileSync(binary, ["score", compiled, "--inputs", given, "-o", found]);
    const native = tensorsOf(readFileSync(found));
    const own = await createScorer({ bundle: new Uint8Array(readFileSync(compiled)) });
    for (const [output, { data, dims }] of Object.entries(own.score(tensors))) {
      const { bytes, shape } = native.get(output)!;
      expect([file, output, dims]).toEqual([file, output, shape]);
      expect([file, output, Buffer.from(data.buffer, data.byteOffset, data.byteLength).equals(bytes)]).toEqual([file, output, true]);
      compared += data.length;
    }
    own.dispose();
  }
  expect(compared).toBeGreaterThan(1000);
  rmSync(folder, { recursive: true });
});

test("small weights score as they do natively, bit for bit, and all at once as one by one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ranklet-"));
  const [compiled, given, found] = ["model.ranklet", "in.safetensors", "out.safetensors"].map((file) => join(folder, file)) as [string, string, string];
  const onnx = join(root, "tests/fixtures/mlp_wide.onnx");
  let state = 5;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5;
  // Past a block of rows, so that the last tile has one, two and three of them too. Most of 40 rows is 0 and skipped, and of the
  // last of 67, of which too little is in the first block: a row of that is skipped alone.
  const zero = (rows: number, i: number) => (rows === 40 || (rows === 67 && i >= 30 * 48)) && (i * 7) % 10 > 2;
  const value = (rows: number, i: number) => (zero(rows, i) ? 0 : next() * 4);
  const inputs = (rows: number): Tensors => ({ x: { data: Float32Array.from({ length: rows * 48 }, (_, i) => value(rows, i)), dims: [rows, 48] } });
  const bytes = (data: ArrayBufferView) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const scores = new Map<string, Buffer>();
  const sizes = new Map<string, number>();
  for (const form of ["f32", "f16", "bf16", "int8"]) {
    execFileSync(binary, ["compile", onnx, "-o", compiled, "--weights", form]);
    const bundle = new Uint8Array(readFileSync(compiled));
    sizes.set(form, bundle.length);
    const own = await createScorer({ bundle });
    for (const rows of [1, 2, 40, 67]) {
      state = 5;
      const tensors = inputs(rows);
      writeFileSync(given, safetensors(tensors));
      execFileSync(binary, ["score", compiled, "--inputs", given, "-o", found]);
      const output = Object.values(own.score(tensors))[0]!;
      const native = [...tensorsOf(readFileSync(found)).values()][0]!;
      expect([form, rows, bytes(output.data as Float32Array).equals(native.bytes)]).toEqual([form, rows, true]);
      scores.set(form, Buffer.from(native.bytes));
    }
    const { data } = inputs(67).x as { data: Float32Array };
    const all = own.score({ x: { data, dims: [67, 48] } }) as { [name: string]: { data: Float32Array } };
    const kept = own.prepare({ x: { data, dims: [67, 48] } }).score({});
    expect(kept).toEqual(all);
    for (const row of [40, 66]) {
      const one = own.score({ x: { data: data.slice(row * 48, (row + 1) * 48), dims: [1, 48] } }) as { [name: string]: { data: Float32Array } };
      expect(Object.values(one)[0]!.data[0]).toBe(Object.values(all)[0]!.data[row]);
    }
    own.dispose();
  }
  // Each form is a smaller one, and other numbers.
  expect(new Set([...scores.values()].map((buffer) => buffer.toString("hex"))).size).toBe(4);
  expect(sizes.get("f16")! < sizes.get("f32")! && sizes.get("int8")! < sizes.get("f16")!).toBe(true);
  rmSync(folder, { recursive: true });
});

function safetensors(tensors: Tensors): Uint8Array {
  const [[tensor, { data, dims }]] = Object.entries(tensors) as [[string, { data: Float32Array; dims: number[] }]];
  const header = Buffer.from(JSON.stringify({ [tensor]: { dtype: "F32", shape: dims, data_offsets: [0, data.byteLength] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}

function tensorsOf(file: Buffer): Map<string, { dtype: string; shape: number[]; bytes: Buffer }> {
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString()) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  const data = file.subarray(8 + length);
  return new Map(
    Object.entries(header)
      .filter(([tensor]) => tensor !== "__metadata__")
      .map(([tensor, { dtype, shape, data_offsets }]) => [tensor, { dtype, shape, bytes: data.subarray(...data_offsets) }]),
  );
}

test("candidates kept for several contexts: the caller may reuse its buffers", () => {
  const inputs = matrix(5);
  const outputs = scorer.score(inputs);
  const prepared = scorer.prepare(inputs);
  inputs[name]!.data.fill(0 as never);
  expect(prepared.score({})).toEqual(outputs);
});

test("what is wrong with the inputs is thrown with a code", () => {
  const { data } = matrix(2)[name] as { data: Float32Array };
  const wrong: unknown[] = [
    null,
    { [name]: null },
    { [name]: { data: [1, 2], dims: [1, 2] } },
    { [name]: { data, dims: [3, width] } },
    { [name]: { data, dims: [-1, width] } },
    { [name]: { data, dims: 3 } },
    { get [name](): never { throw new Error("no"); } },
  ];
  for (const inputs of [{}, { other: { data, dims: [2, width] } }, { [name]: { data: new Int32Array(2 * width), dims: [2, width] } }] as Tensors[]) {
    expect(() => scorer.score(inputs)).toThrowError(expect.objectContaining({ name: "RankletError", code: "schema_mismatch" }));
  }
  for (const inputs of wrong) {
    expect(() => scorer.score(inputs as never)).toThrowError(expect.objectContaining({ name: "RankletError", code: "request_invalid" }));
  }
});

test("a load that fails rejects with an Error that has a code", async () => {
  await expect(createScorer({ bundle: bundle().subarray(0, 999) })).rejects.toBeInstanceOf(RankletError);
  await expect(createScorer({ bundle: bundle().subarray(0, 999) })).rejects.toMatchObject({ code: "bundle_corrupt" });
  await expect(createScorer({ bundle: bundle(), wasm: "/not/there" })).rejects.toMatchObject({ code: "wasm_fetch_failed" });
  await expect(createScorer(null as never)).rejects.toBeInstanceOf(Error);
});

test("the runtime's bytes are compiling before the bundle's are copied, which takes as long", async () => {
  const order: string[] = [];
  const { compile } = WebAssembly;
  const given = bundle();
  const { buffer } = given;
  Object.defineProperty(given, "buffer", { get: () => (order.push("copy"), buffer) });
  WebAssembly.compile = (bytes: BufferSource) => (order.push("compile"), compile(bytes));
  try {
    (await createScorer({ bundle: given, wasm: wasm("scorer") })).dispose();
  } finally {
    WebAssembly.compile = compile;
  }
  expect(order).toEqual(["compile", "copy"]);
});

test("a trap is thrown as one, and a disposed scorer says so", async () => {
  const trapped = await createScorer({ bundle: bundle(), wasm: trapping(wasm("scorer"), "engine_score") });
  expect(() => trapped.score(matrix(1))).toThrowError(expect.objectContaining({ code: "trapped" }));
  trapped.dispose();
  expect(() => trapped.score(matrix(1))).toThrowError(expect.objectContaining({ code: "disposed" }));
});

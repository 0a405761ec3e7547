// `ranklet/compile`: the compiler as wasm, against the native one.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createScorer } from "ranklet/scorer";
import { RankletError, compile, type CompileReport } from "ranklet/compile";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Browser } from "playwright-core";
import { executablePath, launch, open, site, type Site } from "./chromium.js";
import { binary, bundle, bundlePath, dist, model, root } from "./fixtures.js";
import { trapping } from "./sabotage.js";

const fixtures = join(root, "tests/fixtures");
const read = (path: string) => new Uint8Array(readFileSync(path));
const fixture = (name: string) => read(join(fixtures, name));
const spec = readFileSync(join(model, "spec.toml"), "utf8");
const files = () => ({
  "calibrator.onnx": read(join(model, "calibrator.onnx")),
  "golden.safetensors": read(join(model, "golden.safetensors")),
});

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), "ranklet-"))));
afterAll(() => rmSync(folder, { recursive: true }));

type Outcome = { bytes: Uint8Array } | { code: string; message: string };

async function own(name: string, onnx: Uint8Array): Promise<Outcome> {
  try {
    return { bytes: await compile(onnx, { name }) };
  } catch (thrown) {
    const { code, message } = thrown as RankletError;
    expect(thrown, String(thrown)).toBeInstanceOf(RankletError);
    return { code, message };
  }
}

/** The native command line's bundle, or its error's last line taken apart. */
function native(name: string, onnx: Uint8Array): Outcome {
  const [source, output] = [join(folder, `${name}.onnx`), join(folder, `${name}.ranklet`)];
  writeFileSync(source, onnx);
  const { status, stderr } = spawnSync(binary, ["compile", source, "-o", output], { encoding: "utf8" });
  if (status === 0) return { bytes: read(output) };
  const last = stderr.trimEnd().split(/^error: /m).at(-1)!;
  const [, message, code] = /^(.*) \((\w+)\)$/s.exec(last)!;
  return { code: code!, message: message!.replace(`${source}: `, "") };
}

describe("the same bytes as the native compiler", () => {
  test.each(readdirSync(fixtures).filter((name) => name.endsWith(".onnx")))("%s", async (file) => {
    const name = file.replace(/\.onnx$/, "");
    const [here, there] = [await own(name, fixture(file)), native(name, fixture(file))];
    if ("bytes" in here && "bytes" in there) {
      expect(here.bytes.length).toBeGreaterThan(500);
      expect(Buffer.from(here.bytes).equals(there.bytes)).toBe(true);
    } else {
      expect(here).toEqual(there);
    }
  });

  test("a whole specification with calibrators and ONNX Runtime's outputs", async () => {
    const reports: CompileReport[] = [];
    const compiled = await compile(read(join(model, "ranker.onnx")), { spec, files: files(), onReport: (one) => reports.push(one) });
    expect(Buffer.from(compiled).equals(bundle())).toBe(true);
    expect(reports).toEqual([expect.objectContaining({ bytes: compiled.length, calibrators: [expect.stringContaining("isotonic")] })]);
    expect(reports[0]!.goldenRows).toBeGreaterThan(0);
    expect(reports[0]!.checkedRows).toBeGreaterThan(0);
  });

  test("again and at once: neither time, order nor a neighbour leaves a trace", async () => {
    const all = await Promise.all(["mlp", "operators", "mlp", "operators"].map((name) => compile(fixture(`${name}.onnx`))));
    expect(all[2]).toEqual(all[0]);
    expect(all[3]).toEqual(all[1]);
  });
});

test("what it makes scores", async () => {
  const scorer = await createScorer({ bundle: await compile(fixture("lgbm_small.onnx").buffer as never) });
  const [{ name, dims }] = scorer.inputs as unknown as [{ name: string; dims: number[] }];
  const outputs = scorer.score({ [name]: { data: new Float32Array(3 * dims[1]!), dims: [3, dims[1]!] } });
  expect(Object.values(outputs)[0]!.data.length).toBe(3);
  scorer.dispose();
});

test("a specification is a text or an object of the same form", async () => {
  const onnx = fixture("lgbm_small.onnx");
  const scorer = await createScorer({ bundle: await compile(onnx) });
  const width = scorer.inputs[0]!.dims[1]!;
  const output = scorer.outputs[0]!.name;
  scorer.dispose();
  const feature = (at: number) => ({ name: `f${at}`, from: `candidate.features.f${at}` });
  const object = {
    name: "small", version: 3, model: { onnx: "anything.onnx" },
    heads: [{ name: "gain", output, weight: 0.30000000000000004 }],
    features: Array.from({ length: width }, (_, at) => feature(at)),
  };
  const text = [
    'name = "small"', "version = 3", '[model]\nonnx = "anything.onnx"',
    `[[heads]]\nname = "gain"\noutput = "${output}"\nweight = 0.30000000000000004`,
    ...object.features.map(({ name, from }) => `[[features]]\nname = "${name}"\nfrom = "${from}"`),
  ].join("\n");
  const [one, other, short] = await Promise.all([compile(onnx, { spec: object }), compile(onnx, { spec: text }), compile(onnx, text)]);
  expect(Buffer.from(one).equals(other)).toBe(true);
  expect(Buffer.from(one).equals(short)).toBe(true);
});

describe("refused with a code", () => {
  const refused = (work: Promise<unknown>) => work.then(() => "compiled", (thrown: RankletError) => thrown);

  test("every unsupported node at once", async () => {
    const error = (await refused(compile(fixture("unsupported.onnx")))) as RankletError;
    expect(error).toBeInstanceOf(RankletError);
    expect(error.code).toBe("model_unsupported");
    expect(error.message).toMatch(/^(\d+) nodes cannot be lowered: /);
    expect(error.message.match(/`[^`]+` \(\w+\):/g)!.length).toBe(Number(/^\d+/.exec(error.message)![0]));
  });

  test("a specification that is none, names what is not there, or does not fit", async () => {
    const onnx = read(join(model, "ranker.onnx"));
    const code = async (options: object | string) => ((await refused(compile(onnx, options))) as RankletError).code;
    expect(await code("name = ")).toBe("spec_invalid");
    expect(await code({ spec: { name: "x" } })).toBe("spec_invalid");
    const loop: Record<string, unknown> = {};
    loop["name"] = loop;
    expect(await code({ spec: loop })).toBe("spec_invalid");
    expect(await code({ spec: spec.replace("[[features]]", "[[feature]]"), files: files() })).toBe("spec_invalid");
    const missing = (await refused(compile(onnx, { spec, files: { "golden.safetensors": files()["golden.safetensors"] } }))) as RankletError;
    expect(missing).toMatchObject({ code: "io", message: expect.stringMatching(/calibrator\.onnx.*golden\.safetensors/) });
  });

  test("goldens that the plan does not give", async () => {
    const golden = files()["golden.safetensors"];
    const length = Number(new DataView(golden.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(golden.subarray(8, 8 + length))) as Record<string, { dtype: string; data_offsets: [number, number] }>;
    const scorer = await createScorer({ bundle: bundle() });
    const output = scorer.outputs.find(({ dtype }) => dtype === "f32")!.name;
    scorer.dispose();
    const at = 8 + length + header[output]!.data_offsets[0];
    new DataView(golden.buffer).setFloat32(at, 0.75 + new DataView(golden.buffer).getFloat32(at, true), true);
    const onnx = read(join(model, "ranker.onnx"));
    expect(await refused(compile(onnx, { spec, files: files(), golden }))).toMatchObject({ code: "golden_mismatch" });
  });

  test("what is no graph, whatever its bytes, like natively", async () => {
    const good = fixture("operators.onnx");
    let state = 7;
    const next = (below: number) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
    const hurt = Array.from({ length: 24 }, () => {
      const bytes = good.slice();
      for (let count = 1 + next(3); count > 0; count--) bytes[next(bytes.length)] = next(256);
      return bytes;
    });
    for (const [index, bytes] of [new Uint8Array(), good.slice(0, 999), ...hurt].entries()) {
      const [here, there] = [await own(`hurt${index}`, bytes), native(`hurt${index}`, bytes)];
      expect([index, "bytes" in here ? Buffer.from(here.bytes).toString("hex") : here.code]).toEqual([
        index, "bytes" in there ? Buffer.from(there.bytes).toString("hex") : there.code,
      ]);
    }
  });

  test("a malformed graph: what is wrong with it, as natively, and the next compile is a new one", async () => {
    const bytes = fixture("mlp.onnx");
    // A constant index of a Gather that lies outside its data: the eight bytes behind the name and their length.
    bytes[Buffer.from(bytes).indexOf("zeroJ") + "zeroJ".length + 1] = 5;
    const error = (await refused(compile(bytes))) as RankletError;
    expect(error).toMatchObject({ code: "model_unsupported", message: expect.stringContaining("cannot be lowered") });
    expect({ code: error.code, message: error.message }).toEqual(native("outside", bytes));
    expect((await compile(fixture("mlp.onnx"))).length).toBeGreaterThan(0);
  });

  test("a compiler that just stops", async () => {
    const wasm = trapping(read(join(dist, "compiler.wasm")), "compiler_model");
    const error = await refused(compile(fixture("mlp.onnx"), { wasm }));
    expect(error).toMatchObject({ name: "RankletError", code: "model_unsupported", message: expect.stringContaining("unreachable") });
  });

  test("arguments that are none, and a module that does not load", async () => {
    const onnx = fixture("mlp.onnx");
    expect(await refused(compile("mlp.onnx" as never))).toMatchObject({ code: "request_invalid" });
    expect(await refused(compile(onnx, { golden: "golden" as never }))).toMatchObject({ code: "request_invalid" });
    expect(await refused(compile(onnx, { wasm: "/not/there" }))).toMatchObject({ code: "wasm_fetch_failed" });
    expect(await refused(compile(onnx, { wasm: read(join(dist, "scorer.wasm")) }))).toMatchObject({ code: "wasm_invalid" });
    expect((await compile(onnx)).length).toBeGreaterThan(0);
  });
});

describe("npx ranklet", () => {
  const cli = (...given: string[]) => spawnSync(process.execPath, [join(dist, "cli.js"), ...given], { encoding: "utf8" });

  test("compiles a specification as the native command line does, and says the same", () => {
    const output = join(folder, "ads-recs.ranklet");
    const { status, stdout, stderr } = cli("compile", join(model, "spec.toml"), "-o", output);
    expect([status, stderr]).toEqual([0, ""]);
    expect(readFileSync(output).equals(readFileSync(bundlePath))).toBe(true);
    const said = execFileSync(binary, ["compile", join(model, "spec.toml"), "-o", output], { encoding: "utf8" });
    // The oracle is tract, whose sums differ from platform to platform: the plan's distance to it does as well.
    const same = (text: string) => text.split("\n").filter((line) => !line.includes("difference"));
    expect(same(stdout)).toEqual(same(said));
  });

  test("a graph alone is called by its file's name", () => {
    const [mine, theirs] = [join(folder, "mine.ranklet"), join(folder, "theirs.ranklet")];
    expect(cli("compile", join(fixtures, "platt.onnx"), "--output", mine).status).toBe(0);
    execFileSync(binary, ["compile", join(fixtures, "platt.onnx"), "-o", theirs]);
    expect(readFileSync(mine).equals(readFileSync(theirs))).toBe(true);
  });

  test("help on stdout, misuse with 2, bad input with 1, and the error alone on the last line", () => {
    for (const given of [["--help"], ["help", "compile"], ["compile", "-h"], ["--version"]]) {
      expect(cli(...given)).toMatchObject({ status: 0, stderr: "", stdout: expect.stringContaining("ranklet") });
    }
    for (const given of [[], ["rerank"], ["compile"], ["compile", "x.onnx"], ["compile", "x.onnx", "-o"], ["compile", "a", "b", "-o", "c"], ["compile", "--fast"]]) {
      const { status, stdout, stderr } = cli(...given);
      expect([given, status, stdout]).toEqual([given, 2, ""]);
      expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/^error: /);
    }
    const output = join(folder, "none.ranklet");
    for (const [source, code] of [[join(fixtures, "unsupported.onnx"), "model_unsupported"], ["/not/there.onnx", "io"]] as const) {
      const { status, stdout, stderr } = cli("compile", source, "-o", output);
      expect([status, stdout]).toEqual([1, ""]);
      expect(stderr.trimEnd().split("\n").at(-1)).toMatch(new RegExp(`^error: .*${source}.* \\(${code}\\)$`));
    }
    expect(readdirSync(folder).filter((name) => name.startsWith("none"))).toEqual([]);
  });
});

describe.skipIf(executablePath === undefined)("in a browser", () => {
  let browser: Browser;
  let host: Site;
  beforeAll(async () => {
    [browser, host] = await Promise.all([launch(), site()]);
    host.files.set("/ranker.onnx", read(join(model, "ranker.onnx")));
    host.files.set("/mlp.onnx", fixture("mlp.onnx"));
    host.files.set("/unsupported.onnx", fixture("unsupported.onnx"));
    host.files.set("/spec.toml", spec);
    for (const [name, bytes] of Object.entries(files())) host.files.set(`/${name}`, bytes);
  });
  afterAll(async () => {
    await browser?.close();
    await host?.close();
  });

  // As text: the test runner rewrites every `import` that it can see.
  const work = `
    const { compile } = await import("/compile-browser.js");
    const get = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
    const files = { "calibrator.onnx": await get("/calibrator.onnx"), "golden.safetensors": await get("/golden.safetensors") };
    const hex = async (bytes) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
    const spec = await (await fetch("/spec.toml")).text();
    const answer = {
      ranker: await hex(await compile(await get("/ranker.onnx"), { spec, files })),
      mlp: await hex(await compile(await get("/mlp.onnx"))),
      refused: await compile(await get("/unsupported.onnx")).catch((error) => error.code),
    };`;

  const digest = async (bytes: Uint8Array<ArrayBuffer>) => Buffer.from(await crypto.subtle.digest("SHA-256", bytes)).toString("hex");
  const expected = async () => ({
    ranker: await digest(bundle()),
    mlp: await digest(await compile(fixture("mlp.onnx"))),
    refused: "model_unsupported",
  });

  test("the same bytes on a page, the module fetched once and only then", async () => {
    host.asked.length = 0;
    const { page, noise } = await open(browser, host);
    await page.evaluate('import("/compile-browser.js")');
    expect(host.asked).toEqual(["/", "/compile-browser.js"]);
    expect(await page.evaluate(`(async () => { ${work} return answer; })()`)).toEqual(await expected());
    expect(host.asked.filter((path) => path.endsWith(".wasm"))).toEqual(["/compiler.wasm"]);
    expect(noise).toEqual([]);
    await page.close();
  });

  test("the same bytes in a worker", async () => {
    host.files.set("/worker.mjs", `${work} postMessage(answer);`);
    const { page, noise } = await open(browser, host);
    const answer = await page.evaluate(`new Promise((done, failed) => {
      const worker = new Worker("/worker.mjs", { type: "module" });
      worker.onmessage = ({ data }) => done(data);
      worker.onerror = ({ message }) => failed(new Error(message));
    })`);
    expect(answer).toEqual(await expected());
    expect(noise).toEqual([]);
    await page.close();
  });
});

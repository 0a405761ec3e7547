// `ranklet/scorer`: the same scores by a runtime that holds nothing else.
import { createReranker } from "ranklet";
import * as only from "ranklet/scorer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { executablePath, launch, open, site } from "./chromium.js";
import { bundle, edited, wasm } from "./fixtures.js";
import { trapping } from "./sabotage.js";

let scorer: only.Scorer;
let inputs: only.Tensors;

beforeAll(async () => {
  scorer = await only.createScorer({ bundle: bundle() });
  const [{ name, dims }] = scorer.inputs as [only.TensorInfo];
  const width = dims[1]!;
  const data = Float32Array.from({ length: 300 * width }, (_, at) => (at % 7 === 0 ? NaN : Math.sin(at) * 9));
  inputs = { [name]: { data, dims: [300, width] } };
});

afterAll(() => scorer?.dispose());

test("scores alone are exported", () => {
  expect(Object.keys(only).sort()).toEqual(["RankletError", "createScorer"]);
});

test("what is wrong with a bundle or the inputs has a code, as in the whole runtime", async () => {
  const refused = async (bytes: Uint8Array<ArrayBuffer>) => {
    const reranker = createReranker({ bundle: bytes.slice() });
    const code = await only.createScorer({ bundle: bytes }).then(() => "opened", (thrown: only.RankletError) => thrown.code);
    expect(code).toBe((await reranker.ready).reason);
    return code;
  };
  expect(await refused(bundle().slice(0, 999))).toBe("bundle_corrupt");
  expect(await refused(edited(bundle(), (manifest) => (manifest.format = 2)))).toBe("bundle_incompatible");
  expect(await refused(edited(bundle(), (manifest) => (manifest.golden.rows = 0)))).toBe("bundle_corrupt");
  const altered = edited(bundle(), (manifest, tensor) => {
    const golden = tensor(manifest.golden.outputs[0]);
    golden.setFloat32(0, golden.getFloat32(0, true) + 0.25, true);
  });
  expect(await refused(altered)).toBe("self_test_failed");
  expect(() => scorer.score({})).toThrowError(expect.objectContaining({ code: "schema_mismatch" }));
  const trapped = await only.createScorer({ bundle: bundle(), wasm: trapping(wasm("scorer"), "engine_score") });
  expect(() => trapped.score(inputs)).toThrowError(expect.objectContaining({ code: "trapped" }));
});

test.skipIf(executablePath === undefined)("in a browser: one module, one runtime, one bundle, nothing on the console", async () => {
  const [browser, host] = await Promise.all([launch(), site()]);
  const { page, noise } = await open(browser, host);
  const outputs = await page.evaluate(`import("/scorer-browser.js")
    .then(({ createScorer }) => createScorer({ bundle: "/ads-recs.ranklet" }))
    .then(({ outputs }) => outputs)`);
  expect(outputs).toEqual(scorer.outputs);
  expect([...host.asked].sort()).toEqual(["/", "/ads-recs.ranklet", "/scorer-browser.js", "/scorer.wasm"]);
  expect(noise).toEqual([]);
  await browser.close();
  await host.close();
});

// What `cargo xtask demo` promises, run as a person runs it. `cargo xtask test` names the bundle in RANKLET_BUNDLE.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { title } from "./table.mjs";

const script = fileURLToPath(new URL("demo.mjs", import.meta.url));
const request = JSON.parse(readFileSync(new URL("../../models/ads-recs/requests/01.json", import.meta.url), "utf8"));
const serverOrder = request.candidates.map((candidate) => String(candidate.id));

function demo(arguments_, environment = {}) {
  const run = spawnSync(process.execPath, [script, ...arguments_], {
    encoding: "utf8",
    env: { ...process.env, RANKLET_BREAK: "", ...environment },
  });
  return { ...run, lines: run.stdout.split("\n") };
}

const ids = (record) => record.items.map((item) => String(item.id));

test("the table ends with source, reason, time, digest and runtime", () => {
  const { status, stderr, lines } = demo([]);
  assert.equal(status, 0, stderr);
  assert.ok(lines.includes("source: model"));
  assert.ok(lines.includes("reason: none"));
  assert.ok(lines.some((line) => /^time: \d+\.\d\d ms$/.test(line)));
  assert.ok(lines.some((line) => /^bundle: [0-9a-f]{64}$/.test(line)));
  assert.ok(lines.some((line) => line.startsWith(`runtime: node ${process.version}, wasm simd128`)));
  for (const candidate of request.candidates) {
    const name = title(candidate);
    assert.ok(lines.some((line) => line.includes(name)), `${name} is not in the table`);
  }
});

test("--json prints one document: the model moves the server's order, and the events move the model's", () => {
  const { status, stdout, stderr } = demo(["--json"]);
  assert.equal(status, 0, stderr);
  const { before, after } = JSON.parse(stdout);
  for (const record of [before, after]) {
    assert.equal(record.source, "model");
    assert.equal(record.reason, null);
    assert.match(record.digests.bundle, /^[0-9a-f]{64}$/);
    assert.deepEqual(ids(record).toSorted(), serverOrder.toSorted());
    assert.deepEqual(record.items.map((item) => item.rank), serverOrder.map((_, place) => place + 1));
    assert.ok(record.items.every((item) => item.score >= 0 && item.score <= 1));
  }
  assert.notDeepEqual(ids(before), serverOrder);
  assert.notDeepEqual(ids(after), ids(before));
});

for (const [broken, reason] of [["bundle", "bundle_corrupt"], ["wasm", "wasm_fetch_failed"]]) {
  test(`RANKLET_BREAK=${broken}: the server's order, ${reason}`, () => {
    const { status, stderr, lines } = demo([], { RANKLET_BREAK: broken });
    assert.equal(status, 0, stderr);
    assert.ok(lines.includes("source: server"));
    assert.ok(lines.includes(`reason: ${reason}`));
    const { before, after } = JSON.parse(demo(["--json"], { RANKLET_BREAK: broken }).stdout);
    for (const record of [before, after]) {
      assert.equal(record.source, "server");
      assert.equal(record.reason, reason);
      assert.deepEqual(ids(record), serverOrder);
    }
  });
}

test("an unknown way to break it is named", () => {
  const { status, stdout, stderr } = demo([], { RANKLET_BREAK: "everything" });
  assert.equal(status, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: RANKLET_BREAK=everything is not known/);
});

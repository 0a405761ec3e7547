// The entries for React, the custom element and the worker as they are released: how large, what they may not hold, their types.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { expect, test } from "vitest";
import { dist, root } from "./fixtures.js";

const manifest = JSON.parse(readFileSync(join(root, "pkg/package.json"), "utf8")) as {
  sideEffects: string[];
  peerDependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional: boolean }>;
};

test.each([
  ["react-browser.js", 3_000],
  ["element.js", 4_000],
  ["worker-browser.js", 8_500],
])("%s is below %i bytes of brotli, beside the page's own entry; names no console and builds no code", (entry, most) => {
  const source = readFileSync(join(dist, entry));
  const small = brotliCompressSync(source, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 } });
  expect(small.length).toBeLessThan(most);
  expect(source.toString()).not.toMatch(/console\.|\beval\(|new Function|Blob\(|createObjectURL/);
});

test("react and element take the page's own entry from beside themselves, and react is the caller's", () => {
  for (const entry of ["react-browser.js", "element.js"]) expect(readFileSync(join(dist, entry), "utf8")).toMatch(/from ?"\.\/browser\.js"/);
  expect(readFileSync(join(dist, "react-browser.js"), "utf8")).toMatch(/^"use client";/);
  expect(readFileSync(join(dist, "react-browser.js"), "utf8")).toMatch(/from ?"react"/);
  expect(manifest.peerDependencies).toEqual({ react: ">=18" });
  expect(manifest.peerDependenciesMeta["react"]).toEqual({ optional: true });
});

test("all of them can be imported on a server", async () => {
  const before = Object.getOwnPropertyNames(globalThis);
  for (const name of ["react", "element", "worker", "worker-host"]) await import(`ranklet/${name}`);
  expect(Object.getOwnPropertyNames(globalThis)).toEqual(before);
});

test("they fit a caller's compiler, however it finds modules", () => {
  const tsc = join(root, "pkg/node_modules/typescript/bin/tsc");
  const flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,esnext.disposable", "--types", "", "--ignoreConfig"];
  for (const how of [["--module", "nodenext"], ["--module", "esnext", "--moduleResolution", "bundler"]]) {
    execFileSync(process.execPath, [tsc, ...flags, ...how, join(root, "pkg/test/caller-surfaces.ts")], { stdio: "pipe" });
  }
});

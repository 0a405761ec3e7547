// The files and the answers that the cells ask for, on a real server.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binary, bundle, edited, model, request, root, wasm } from "../fixtures.js";
import { capped, trapping, trappingWhere } from "../sabotage.js";
import { serve, type Served } from "../server.js";
import { LATE } from "./kit.js";
import { SIGNED } from "./signed.js";

type Bytes = Uint8Array<ArrayBuffer>;

/** Pages that the bundle and a page's lists fit, and a crowd of long lists does not. */
const CAP = 160;

/** Compiles an ONNX file, or a specification with its text edited. */
function compiled(source: string, edit?: (text: string) => string): Bytes {
  const folder = mkdtempSync(join(tmpdir(), "ranklet-"));
  const file = join(folder, "made.ranklet");
  let from = source;
  if (edit) {
    from = join(folder, "edited.toml");
    writeFileSync(from, edit(readFileSync(source, "utf8")));
  }
  execFileSync(binary, ["compile", from, "-o", file], { stdio: "pipe" });
  const bytes = new Uint8Array(readFileSync(file));
  rmSync(folder, { recursive: true });
  return bytes;
}

function flipped(bytes: Bytes, at: number): Bytes {
  const copy = bytes.slice();
  copy[at]! ^= 1;
  return copy;
}

const PAGE = new TextEncoder().encode("<!doctype html><p>Not here.");

const UNBOUNDED = join(root, "tests/fixtures/unbounded.toml");

const BUNDLES: Record<string, () => Bytes> = {
  "ads-recs": bundle,
  // Another version of the same: another digest, the same columns, other scores.
  next: () => edited(bundle(), (manifest) => void (manifest.version += 1)),
  cut: () => bundle().slice(0, Math.floor(bundle().length * 0.6)),
  flipped: () => flipped(bundle(), bundle().length >> 1),
  magic: () => Uint8Array.from([..."PK\u0003\u0004"].map((letter) => letter.charCodeAt(0)).concat([...bundle().subarray(4)])),
  empty: () => new Uint8Array(0),
  page: () => PAGE,
  format: () => edited(bundle(), (manifest) => void (manifest.format += 1)),
  minor: () => edited(bundle(), (manifest) => void (manifest.minor += 99)),
  requires: () => edited(bundle(), (manifest) => void (manifest.requires = ["telepathy"])),
  op: () => edited(bundle(), ({ plan }) => {
    const text = JSON.stringify(plan.steps[0].op);
    plan.steps[0].op = JSON.parse(text.replace(/[a-z_]+/i, "sort_of")) as unknown;
  }),
  golden: () => edited(bundle(), (manifest, tensor) => {
    const scores = tensor(manifest.golden.outputs.at(-1));
    scores.setFloat32(0, scores.getFloat32(0, true) + 0.25, true);
  }),
  ...SIGNED,
  bare: () => compiled(join(model, "ranker.onnx")),
  unbounded: () => compiled(UNBOUNDED),
  renamed: () => compiled(UNBOUNDED, (text) =>
    text.replace("candidate.features.uplift", "candidate.features.adoption").replace("unbounded.onnx", UNBOUNDED.replace(".toml", ".onnx"))),
};

/** Of these a worker is handed the compiled module. */
export const MODULES: Record<string, () => Bytes> = {
  whole: wasm,
  empty: () => Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0),
  capped: () => capped(wasm(), CAP),
  // Both, for the chaos run; a few long lists are too much for it.
  fragile: () => capped(trappingWhere(wasm(), "engine_rerank", 2, request().now + LATE), 48),
  "late-rerank": () => trappingWhere(wasm(), "engine_rerank", 2, request().now + LATE),
  engine_signals: () => trapping(wasm(), "engine_signals"),
  engine_rerank: () => trapping(wasm(), "engine_rerank"),
  engine_new: () => trapping(wasm(), "engine_new"),
};

const WASMS: Record<string, () => Bytes> = {
  ...MODULES,
  cut: () => wasm().slice(0, 5000),
  // The size of its first section.
  flipped: () => flipped(wasm(), 9),
};

const made = new Map<string, Bytes>();

/** A file by its path, `/bundle/cut`; made once. */
export function file(path: string): Bytes | undefined {
  const [, kind, name] = path.split("/");
  const make = (kind === "wasm" ? WASMS : kind === "bundle" ? BUNDLES : {})[name!];
  if (make && !made.has(path)) made.set(path, make());
  return made.get(path);
}

export async function failureServer(): Promise<Served> {
  const waiting: (() => void)[] = [];
  return serve(({ url, socket }, response) => {
    const path = url!;
    response.setHeader("access-control-allow-origin", "*");
    const [, way, ...rest] = path.split("/");
    const behind = file(`/${rest.join("/")}`);
    if (way === "never") return;
    if (way === "broken") socket.destroy();
    else if (way === "release") {
      for (const answer of waiting.splice(0)) answer();
      response.end();
    } else if (way === "late" && behind) waiting.push(() => response.end(behind));
    else if (way === "half" && behind) {
      response.setHeader("content-type", rest[0] === "wasm" ? "application/wasm" : "text/plain");
      response.setHeader("content-length", behind.length);
      // Once the first half is on its way the line is dead.
      response.write(behind.subarray(0, behind.length >> 1), () => setTimeout(() => socket.destroy(), 20));
    } else if (way === "text" && behind) response.setHeader("content-type", "text/plain").end(behind);
    else if (way === "page") response.setHeader("content-type", "text/html").end(PAGE);
    else if (file(path)) response.setHeader("content-type", way === "wasm" ? "application/wasm" : "text/plain").end(file(path));
    else response.writeHead(way === "500" ? 500 : 404).end();
  });
}

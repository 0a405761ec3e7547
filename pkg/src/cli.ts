#!/usr/bin/env node
// `npx ranklet compile`, for those without Rust. Words, streams and exit codes are the native command line's: results on
// stdout, 0 done, 1 the input is bad, 2 wrong usage, the error alone on the last line of stderr.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, extname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { loader, run, type Job } from "./compile.js";
import type { CompileReport, SmallWeights } from "./compiler.js";
import { read } from "./node-files.js";
import { RankletError, describe } from "./reasons.js";

const USAGE = "Usage: ranklet compile [OPTIONS] --output <FILE.ranklet> <SOURCE>";

const HELP = `The last-mile ranker's compiler, without Rust.

Usage: ranklet <COMMAND>

Commands:
  compile  Compile a SPEC.toml (a ranker) or a MODEL.onnx alone (a scorer) to a bundle

Options:
  -h, --help     Print help
  -V, --version  Print version

Examples:
  npx ranklet compile models/ads-recs/spec.toml -o ads-recs.ranklet
  npx ranklet compile model.onnx -o model.ranklet

The native command line has more: inspect, score, rerank, featurize.`;

const COMPILE_HELP = `Compile a SPEC.toml (a ranker) or a MODEL.onnx alone (a scorer) to a bundle

${USAGE}

Arguments:
  <SOURCE>  SPEC.toml or MODEL.onnx

Options:
  -o, --output <FILE.ranklet>      Where the bundle goes
      --golden <FILE.safetensors>  ONNX Runtime's inputs and outputs by name: they decide over our own reading of the graph
      --dim <NAME=VALUE>           Size of a symbol of an input's shape that is not the number of candidates, over what the SPEC.toml says
      --weights <FORM>             How weights are stored, over what the SPEC.toml says; f32 by default [possible values: f32, f16, bf16, int8]
      --weights-tolerance <D>      How far a score may move for smaller weights, relative to max(1, |score|); 0.05 by default
  -h, --help                       Print help

Examples:
  npx ranklet compile models/ads-recs/spec.toml -o ads-recs.ranklet
  npx ranklet compile model.onnx -o model.ranklet --golden onnxruntime.safetensors
  npx ranklet compile model.onnx -o model.ranklet --weights int8`;

const FORMS = ["f32", "f16", "bf16", "int8"];

/** A command line that makes no sense. */
class Misuse extends Error {}

interface Arguments {
  source: string;
  output: string;
  golden: string | undefined;
  dims: string[];
  weights: string | undefined;
  tolerance: number | undefined;
}

process.exitCode = await main(process.argv.slice(2));

async function main(given: string[]): Promise<number> {
  try {
    const found = understood(given);
    if (typeof found === "string") {
      print(found);
      return 0;
    }
    const { bundle, report } = await run(module(), job(found));
    write(found.output, bundle);
    print(summary(found.output, report));
    for (const warning of report.warnings) complain(`warning: ${warning}`);
    return 0;
  } catch (thrown) {
    if (thrown instanceof Misuse) {
      complain(`${USAGE}\n\nFor more information, try '--help'.\nerror: ${thrown.message}`);
      return 2;
    }
    const code = thrown instanceof RankletError ? ` (${thrown.code})` : "";
    complain(`error: ${describe(thrown)}${code}`);
    return 1;
  }
}

/** What to do, or what to print instead. */
function understood([command, ...rest]: string[]): Arguments | string {
  if (command === undefined) throw new Misuse("a command is missing");
  if (command === "-h" || command === "--help" || (command === "help" && rest.length === 0)) return HELP;
  if (command === "help") [command, rest] = [rest[0]!, ["--help"]];
  if (command === "-V" || command === "--version") return `ranklet ${version()}`;
  if (command !== "compile") throw new Misuse(`unrecognized subcommand '${command}'; this one has compile alone`);
  const { values, positionals } = parsed(rest);
  if (values.help) return COMPILE_HELP;
  const [source, extra] = positionals;
  if (source === undefined || values.output === undefined) throw new Misuse("<SOURCE> and --output <FILE.ranklet> are required");
  if (extra !== undefined) throw new Misuse(`unexpected argument '${extra}' found`);
  const { output, golden, dim: dims = [], weights, "weights-tolerance": given } = values;
  if (weights !== undefined && !FORMS.includes(weights)) throw new Misuse(`invalid value '${weights}' for '--weights <FORM>'`);
  const tolerance = given === undefined ? undefined : Number(given);
  if (tolerance !== undefined && (given!.trim() === "" || Number.isNaN(tolerance))) {
    throw new Misuse(`invalid value '${given}' for '--weights-tolerance <D>'`);
  }
  return { source, output, golden, dims, weights, tolerance };
}

function parsed(args: string[]) {
  try {
    const options = {
      output: { type: "string", short: "o" },
      golden: { type: "string" },
      dim: { type: "string", multiple: true },
      weights: { type: "string" },
      "weights-tolerance": { type: "string" },
      help: { type: "boolean", short: "h" },
    } as const;
    return parseArgs({ args, options, allowPositionals: true });
  } catch (thrown) {
    throw new Misuse(describe(thrown));
  }
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  return version;
}

function module(): Promise<WebAssembly.Module> {
  return loader({ read, runtime: () => readFile(new URL("./compiler.wasm", import.meta.url)) })();
}

function job({ source, golden, dims, weights, tolerance }: Arguments): Job {
  const sizes = dims.join("\n");
  const given = golden === undefined ? undefined : file(golden);
  const folder = dirname(source);
  const text = extname(source) === ".toml" ? new TextDecoder("utf-8", { fatal: true }) : undefined;
  const bytes = file(source);
  return (compiler) => {
    try {
      if (!text) return compiler.model(basename(source, extname(source)), bytes, given, weights, tolerance, sizes);
      const read = (path: string) => bytesAt(resolve(folder, path));
      return compiler.spec(text.decode(bytes), "toml", undefined, read, given, weights, tolerance, sizes);
    } catch (thrown) {
      throw placed(thrown, source);
    }
  };
}

/** A coded error, preceded by the source that it speaks of. */
function placed(thrown: unknown, source: string): unknown {
  if (thrown instanceof TypeError) return new RankletError("io", `${source} is not UTF-8 text`);
  const { code, message } = thrown as { code?: unknown; message?: unknown };
  return thrown instanceof Error || typeof code !== "string" ? thrown : new RankletError(code, `${source}: ${String(message)}`);
}

function file(path: string): Uint8Array {
  try {
    return bytesAt(path);
  } catch (thrown) {
    throw new RankletError("io", `cannot read ${path}: ${describe(thrown)}; check the path`);
  }
}

function bytesAt(path: string): Uint8Array {
  return new Uint8Array(readFileSync(path));
}

/** Writes beside the target and renames, so that a failed run leaves no half file. */
function write(path: string, bytes: Uint8Array): void {
  try {
    const part = `${path}.${process.pid}.part`;
    writeFileSync(part, bytes);
    renameSync(part, path);
  } catch (thrown) {
    throw new RankletError("io", `cannot write ${path}: ${describe(thrown)}; check the folder`);
  }
}

function summary(output: string, report: CompileReport): string {
  const lines = [
    `${output}  ${size(report.bytes)}`,
    `  plan          ${report.steps} steps`,
    `  checked       ${report.checkedRows} rows against the graph's own definition`,
  ];
  if (report.goldenRows > 0) lines.push(`                ${report.goldenRows} rows against ONNX Runtime's outputs`);
  lines.push(`  difference    ${exponential(report.largestDifference)} at most, relative to max(1, |expected|)`);
  if (report.weights) lines.push(...small(report.weights));
  lines.push(...report.calibrators.map((form) => `  calibrator    ${form}`));
  return lines.join("\n");
}

function small({ form, int8, half, f32, bytes, bytesF32, largestError, ndcgLoss, labelsChanged }: SmallWeights): string[] {
  const counts = [[int8, "as int8"], [half, "with 16 bits"], [f32, "left in f32"]] as const;
  const parts = counts.filter(([count]) => count > 0).map(([count, how]) => `${count} ${how}`);
  const lines = [
    `  weights       ${form}: ${parts.join(", ")}; ${size(bytes)}, ${size(bytesF32)} in f32`,
    `  score error   ${exponential(largestError)} at most against f32, relative to max(1, |score|)`,
    `  NDCG          ${exponential(ndcgLoss)} lost against the order by f32 scores`,
  ];
  if (labelsChanged > 0) lines.push(`  labels        ${labelsChanged} changed`);
  return lines;
}

/** As Rust writes it: `5e-7`, `0e0`. */
function exponential(x: number): string {
  return x.toExponential().replace("e+", "e");
}

function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const [scaled, unit] = bytes < 1024 ** 2 ? [bytes / 1024, "KiB"] : [bytes / 1024 ** 2, "MiB"];
  return `${scaled.toFixed(2)} ${unit}`;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function complain(text: string): void {
  process.stderr.write(`${text}\n`);
}

// The types as a caller's compiler sees them; and that the file which says so notices when one is broken.
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { dist, root } from "./fixtures.js";

const pkg = join(root, "pkg");
const FLAGS = [
  "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,esnext.disposable,dom",
  "--types", "", "--ignoreConfig",
];

/** A caller's project: the package beside it, as it is installed. */
let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "ranklet-types-"));
  mkdirSync(join(project, "node_modules/ranklet/dist"), { recursive: true });
  cpSync(join(pkg, "package.json"), join(project, "node_modules/ranklet/package.json"));
  symlinkSync(join(pkg, "node_modules/expect-type"), join(project, "node_modules/expect-type"));
  cpSync(join(pkg, "test/types.ts"), join(project, "types.ts"));
  writeFileSync(join(project, "package.json"), '{ "type": "module" }');
});

afterAll(() => rmSync(project, { recursive: true }));

/** What the compiler says of types.ts with one text of one declaration in place of another; nothing: all is well. */
async function errors(file?: string, from = "", to = ""): Promise<string> {
  const types = join(project, "node_modules/ranklet/dist/types");
  cpSync(join(dist, "types"), types, { recursive: true });
  if (file) {
    const text = readFileSync(join(types, file), "utf8");
    if (!text.includes(from)) throw new Error(`${file} no longer says ${from}`);
    writeFileSync(join(types, file), text.replace(from, to));
  }
  const tsc = join(pkg, "node_modules/typescript/bin/tsc");
  try {
    await promisify(execFile)(process.execPath, [tsc, ...FLAGS, "types.ts"], { cwd: project });
    return "";
  } catch (thrown) {
    return (thrown as { stdout: string }).stdout;
  }
}

test("the types are what types.ts says", async () => {
  expect(await errors()).toBe("");
});

test.each([
  ["ranking.d.ts", "readonly items: C[]", "readonly items: unknown[]"],
  ["ranking.d.ts", "get entries(): Entry<C>[]", "get entries(): Entry<unknown>[]"],
  ["ranking.d.ts", "readonly reason: Reason | null", "readonly reason: string | null | undefined"],
  ["types.d.ts", "item: C;", "item: unknown;"],
  ["types.d.ts", "(keyof C & string)", "string"],
  ["types.d.ts", "score: number | null;", "score: number;"],
  ["types.d.ts", "candidates: readonly C[];", "candidates: C[];"],
  ["types.d.ts", "type: EventType | (string & {});", "type: EventType;"],
  ["types.d.ts", "frozen?: Frozen | null;\n    /** Ms", "frozen?: number;\n    /** Ms"],
  ["record.d.ts", "items: DecisionItem[];", "items: object[];"],
  ["reasons.d.ts", "KnownReason | (string & {})", "KnownReason"],
  ["session.d.ts", "prepare(request: RerankRequest<C>): List<C>", "prepare(request: RerankRequest<C>): List<unknown>"],
  ["list.d.ts", "append(candidates: readonly C[]): void", "append(candidates: readonly unknown[]): void"],
  ["list.d.ts", "[Symbol.dispose](): void;", ""],
  ["reranker.d.ts", "session(options?: SessionOptions): Session<C>", "session(options?: SessionOptions): Session<unknown>"],
  ["testing.d.ts", "extends Reranker<C>", "extends Reranker<unknown>"],
])("a broken %s is noticed: %s", async (file, from, to) => {
  expect(await errors(file, from, to)).toMatch(/types\.ts\(\d+,\d+\): error TS/);
});

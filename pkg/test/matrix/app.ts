import { execFile, execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, realpathSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { binary, bundle, bundlePath, events, model, request, root, type Event, type Request } from "../fixtures.js";
import type { rank } from "./cell.mjs";

export type Answer = Awaited<ReturnType<typeof rank>>;

/** What is ranked in every cell. */
export interface Case {
  request: Request;
  events: Event[];
}

export const matrix = join(root, "pkg/test/matrix");

/** Whether the whole matrix runs, or a cell a kind of host. */
export const whole = process.env.RANKLET_FULL === "1";

/** A project of somebody's, with the packed tarball installed from its file. */
export class App {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), "ranklet-matrix-")));
  readonly asked: Case = { request: request(), events: events() };
  tarball = "";

  /** Packs, installs, and lays the case beside it. */
  install(): this {
    const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", this.folder], {
      cwd: join(root, "pkg"), encoding: "utf8", stdio: ["ignore", "pipe", "ignore"],
    });
    const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
    this.tarball = join(this.folder, filename);
    this.write("package.json", JSON.stringify({ name: "app", private: true, type: "module" }));
    execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", "--no-package-lock", this.tarball], { cwd: this.folder, stdio: "pipe" });
    cpSync(join(matrix, "cell.mjs"), join(this.folder, "cell.mjs"));
    this.write("case.json", JSON.stringify(this.asked));
    writeFileSync(join(this.folder, "ads-recs.ranklet"), bundle());
    return this;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, text: string): string {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  /** Runs a program in the project; its output, or an error that shows it. */
  async run(program: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
    const options = { cwd: this.folder, env: { ...process.env, NODE_ENV: "production", ...env }, maxBuffer: 2 ** 26 };
    try {
      return (await promisify(execFile)(program, args, options)).stdout;
    } catch (thrown) {
      const { message, stdout, stderr } = thrown as { message: string; stdout?: string; stderr?: string };
      throw new Error(`${message}\n${stdout ?? ""}\n${stderr ?? ""}`);
    }
  }

  /** What the native command line answers: every cell must have these bits. */
  native(): string[] {
    const paths = ["--request", join(model, "requests/01.json"), "--events", join(model, "events/01.jsonl")];
    const line = execFileSync(binary, ["rerank", bundlePath, ...paths, "--json"], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    const { items } = JSON.parse(line) as { items: { id: string; score: number; utility: number; heads: Record<string, { raw: number; calibrated: number }> }[] };
    return items.map(({ id, score, utility, heads }) =>
      [id, hex(score), hex(utility), ...Object.values(heads).flatMap(({ raw, calibrated }) => [hex(raw), hex(calibrated)])].join(" "),
    );
  }
}

function hex(value: number): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0).toString(16).padStart(16, "0");
}

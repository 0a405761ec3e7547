import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer, type AddressInfo } from "node:net";
import { build } from "esbuild";
import type { Answer, App } from "./app.js";

// The program itself: what npm links is a script that starts it, and would leave it behind.
const { default: program } = createRequire(import.meta.url)("workerd") as { default: string };

/** A worker of the real workerd: the wasm is a module of the deployment, the bundle lies beside it as data. */
export async function answerOfWorkerd(app: App): Promise<Answer> {
  app.write("worker.mjs", `
    import { createReranker } from "ranklet";
    import bundle from "./ads-recs.ranklet.bin";
    import asked from "./case.json";
    import { rank } from "./cell.mjs";
    export default { fetch: async () => Response.json(await rank(createReranker, bundle, asked)) };
  `);
  mkdirSync(app.path("worker"), { recursive: true });
  copyFileSync(app.path("ads-recs.ranklet"), app.path("worker/ads-recs.ranklet.bin"));
  copyFileSync(app.path("node_modules/ranklet/dist/ranklet.wasm"), app.path("worker/ranklet.wasm"));
  await build({
    absWorkingDir: app.folder, entryPoints: ["worker.mjs"], outfile: app.path("worker/main.js"), bundle: true, format: "esm",
    conditions: ["workerd", "worker"], external: ["*.wasm", "*.bin"], logLevel: "error",
  });
  const port = await freePort();
  app.write("worker/config.capnp", `
    using Workerd = import "/workerd/workerd.capnp";
    const config :Workerd.Config = (
      services = [(name = "main", worker = (
        modules = [
          (name = "main.js", esModule = embed "main.js"),
          (name = "ranklet.wasm", wasm = embed "ranklet.wasm"),
          (name = "ads-recs.ranklet.bin", data = embed "ads-recs.ranklet.bin"),
        ],
        compatibilityDate = "2025-06-01",
      ))],
      sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
    );
  `);
  const child = spawn(program, ["serve", "config.capnp"], { cwd: app.path("worker"), stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (part) => (said += part));
  try {
    return await asks(`http://127.0.0.1:${port}/`, () => said);
  } finally {
    child.kill("SIGKILL");
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

async function asks(url: string, said: () => string): Promise<Answer> {
  for (let tries = 0; tries < 100; tries++) {
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return (await response.json()) as Answer;
    if (response) throw new Error(`${response.status}: ${await response.text()}\n${said()}`);
    await new Promise((later) => setTimeout(later, 100));
  }
  throw new Error(`workerd does not answer: ${said()}`);
}

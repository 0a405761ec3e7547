import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { build } from "esbuild";
import type { Answer, App } from "./app.js";
import { answerOfServer } from "./spawned.js";

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
  return answerOfServer((port) => {
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
    return [program, ["serve", "config.capnp"], app.path("worker")];
  });
}

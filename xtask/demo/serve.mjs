// Serves the built page and prints its address once it answers: `node serve.mjs FOLDER PORT`.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, port] = process.argv.slice(2);
const require = createRequire(join(folder, "package.json"));
const { preview } = await import(pathToFileURL(require.resolve("vite")).href);

try {
  await preview({ root: folder, logLevel: "warn", preview: { host: "127.0.0.1", port: Number(port), strictPort: true } });
  process.stdout.write(`page: http://127.0.0.1:${port}/  (Ctrl-C stops it)\n`);
} catch (error) {
  process.stderr.write(`error: the page cannot be served (${error.message}), 127.0.0.1:${port}, choose another --port\n`);
  process.exitCode = 1;
}

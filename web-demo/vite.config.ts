import { defineConfig } from "vite";

// Isolated pages get clocks of 5 microseconds instead of 100: a re-rank is shorter than the coarse ones' tick.
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  // A page that is not there must answer 404, or a missing runtime would look like a broken one.
  appType: "mpa",
  build: { target: "es2022", assetsInlineLimit: 0 },
  // The package is linked from the folder beside this one; bundled ahead it would lose the wasm that lies next to it.
  optimizeDeps: { exclude: ["ranklet"] },
  server: { headers, fs: { allow: [".."] } },
  preview: { headers },
});

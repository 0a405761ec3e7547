import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The tests take the package as its users do: built, by its name.
    server: { deps: { external: [/dist/] } },
  },
});

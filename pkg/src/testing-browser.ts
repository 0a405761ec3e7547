import { bindTesting } from "./testing.js";

export const createReranker = bindTesting({
  read: (source) => fetch(source),
  runtime: () => fetch(new URL("./ranklet.wasm", import.meta.url)),
});
export * from "./testing-public.js";

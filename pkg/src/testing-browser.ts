import { bindTesting } from "./testing.js";

const testing = bindTesting({
  read: (source) => fetch(source),
  runtime: () => fetch(new URL("./ranklet.wasm", import.meta.url)),
});

export const createReranker = testing.createReranker;
export const createScorer = testing.createScorer;
export * from "./testing-public.js";

import { bind } from "./bind.js";

const ranklet = bind({
  read: (source) => fetch(source),
  runtime: () => fetch(new URL("./ranklet.wasm", import.meta.url)),
});

export const createReranker = ranklet.createReranker;
export const createScorer = ranklet.createScorer;
export * from "./public.js";

import { bindScorer } from "./scorer-bind.js";

export const createScorer = bindScorer({
  read: (source) => fetch(source),
  runtime: () => fetch(new URL("./scorer.wasm", import.meta.url)),
});
export * from "./scorer-public.js";

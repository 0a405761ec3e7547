// A worker may not compile: its deployment hands over the compiled module under this import.
import module from "./ranklet.wasm";
import { bind } from "./bind.js";

const ranklet = bind({ read: (source) => fetch(source), compiled: true, runtime: async () => module });

export const createReranker = ranklet.createReranker;
export const createScorer = ranklet.createScorer;
export * from "./public.js";

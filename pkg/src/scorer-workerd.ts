// A worker may not compile: its deployment hands over the compiled module under this import.
import module from "./scorer.wasm";
import { bindScorer } from "./scorer-bind.js";

export const createScorer = bindScorer({ read: (source) => fetch(source), compiled: true, runtime: async () => module });
export * from "./scorer-public.js";

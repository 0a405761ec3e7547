import module from "./scorer.wasm?module";
import { bindScorer } from "./scorer-bind.js";

export const createScorer = bindScorer({ read: (source) => fetch(source), compiled: true, runtime: async () => module });
export * from "./scorer-public.js";

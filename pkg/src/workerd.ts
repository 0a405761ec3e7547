// A worker may not compile: its deployment hands over the compiled module under this import.
import module from "./ranklet.wasm";
import { bind } from "./bind.js";

export const createReranker = bind({ read: (source) => fetch(source), compiled: true, runtime: async () => module });
export * from "./public.js";

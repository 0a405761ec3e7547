// A worker may not compile WebAssembly: its deployment hands over the compiled module under this import.
import module from "./compiler.wasm";
import { bindCompile } from "./compile.js";

export const compile = bindCompile({ read: (source) => fetch(source), compiled: true, runtime: async () => module });
export * from "./compile-public.js";

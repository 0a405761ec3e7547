import { bindCompile } from "./compile.js";

export const compile = bindCompile({
  read: (source) => fetch(source),
  runtime: () => fetch(new URL("./compiler.wasm", import.meta.url)),
});
export * from "./compile-public.js";

/** In place of `WebAssembly.compile` in the entries for `edge-light`: such a host compiles nothing but what its deployment imports. */
export function compileNothing(): never {
  throw new Error("this host compiles no bytes: give a compiled module, as an import of `ranklet/ranklet.wasm?module` is one");
}

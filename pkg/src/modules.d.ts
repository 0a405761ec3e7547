declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
declare module "*.wasm?module" {
  const module: WebAssembly.Module;
  export default module;
}
/** `ranklet.wasm`, deflated, as base64: the build puts it there. */
declare module "#wasm" {
  const text: string;
  export default text;
}
// The generated glue lies in dist; the bundler puts it into each entry: the page's or the scorer's, and the compiler's.
declare module "#engine" {
  export const makeInstance: import("./engine.js").MakeInstance;
}
declare module "#compiler" {
  export const makeInstance: import("./compiler.js").MakeCompiler;
}
/** Whether the entry's engine only scores: the build says it. */
declare const SCORES_ALONE: boolean;

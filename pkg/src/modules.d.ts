declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
// The generated glue lies in dist; the bundler puts it into each entry: the page's or the scorer's, and the compiler's.
declare module "#engine" {
  export const makeInstance: import("./engine.js").MakeInstance;
}
declare module "#compiler" {
  export const makeInstance: import("./compiler.js").MakeCompiler;
}

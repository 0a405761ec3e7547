declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
// The generated glue lies in dist; the bundler puts it into each entry.
declare module "#engine" {
  export const makeInstance: import("./engine.js").MakeInstance;
}

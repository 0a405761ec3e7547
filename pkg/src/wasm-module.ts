/** What a host gives that compiles an imported wasm file, as workerd does: an option `wasm` of every entry takes it. */
declare const module: WebAssembly.Module;
export default module;

import { readFile } from "node:fs/promises";
import { bindCompile } from "./compile.js";
import { read } from "./node-files.js";

export const compile = bindCompile({ read, runtime: () => readFile(new URL("./compiler.wasm", import.meta.url)) });
export * from "./compile-public.js";

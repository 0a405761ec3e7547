import { readFile } from "node:fs/promises";
import { bind } from "./bind.js";
import { read } from "./node-files.js";

export const createReranker = bind({ read, runtime: () => readFile(new URL("./ranklet.wasm", import.meta.url)) });
export * from "./public.js";

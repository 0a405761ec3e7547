import { readFile } from "node:fs/promises";
import { read } from "./node-files.js";
import { bindTesting } from "./testing.js";

export const createReranker = bindTesting({ read, runtime: () => readFile(new URL("./ranklet.wasm", import.meta.url)) });
export * from "./testing-public.js";

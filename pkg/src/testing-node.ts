import { readFile } from "node:fs/promises";
import { read } from "./node-files.js";
import { bindTesting } from "./testing.js";

const testing = bindTesting({ read, runtime: () => readFile(new URL("./ranklet.wasm", import.meta.url)) });

export const createReranker = testing.createReranker;
export const createScorer = testing.createScorer;
export * from "./testing-public.js";

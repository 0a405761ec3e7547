import { readFile } from "node:fs/promises";
import { bind } from "./bind.js";
import { read } from "./node-files.js";

const ranklet = bind({ read, runtime: () => readFile(new URL("./ranklet.wasm", import.meta.url)) });

export const createReranker = ranklet.createReranker;
export const createScorer = ranklet.createScorer;
export * from "./public.js";

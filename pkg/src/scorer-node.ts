import { readFile } from "node:fs/promises";
import { read } from "./node-files.js";
import { bindScorer } from "./scorer-bind.js";

export const createScorer = bindScorer({ read, runtime: () => readFile(new URL("./scorer.wasm", import.meta.url)) });
export * from "./scorer-public.js";

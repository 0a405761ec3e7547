import { readFile } from "node:fs/promises";
import { read } from "./node-files.js";
import { bindTesting } from "./testing.js";

const testing = bindTesting({ read, runtime: () => readFile(new URL("./ranklet.wasm", import.meta.url)) });

/** As the package's own, with a fixed clock, a reason and an order that a test sets. */
export const createReranker = testing.createReranker;
export * from "./testing-public.js";

// A host of this kind compiles what is imported with this suffix when it deploys, and nothing later.
import module from "./ranklet.wasm?module";
import { bind } from "./bind.js";

export const createReranker = bind({ read: (source) => fetch(source), compiled: true, runtime: async () => module });
export * from "./public.js";

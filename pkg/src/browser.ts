import { bind } from "./bind.js";

export const createReranker = bind({
  read: (source) => fetch(source),
  runtime: () => fetch(new URL("./ranklet.wasm", import.meta.url)),
});
export * from "./public.js";

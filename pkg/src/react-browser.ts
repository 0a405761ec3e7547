import { createReranker } from "./browser.js";
import { bindReact } from "./react.js";

export const useReranker = bindReact(createReranker);
export * from "./react-public.js";

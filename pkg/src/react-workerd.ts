import { createReranker } from "./workerd.js";
import { bindReact } from "./react.js";

export const useReranker = bindReact(createReranker);
export * from "./react-public.js";

export * from "./public.js";
export type { TestOptions, TestReranker } from "./testing.js";

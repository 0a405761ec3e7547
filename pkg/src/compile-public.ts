export { RankletError } from "./reasons.js";
export type { KnownReason, Reason } from "./reasons.js";
export type { Compile, CompileOptions } from "./compile.js";
export type { CompileReport, SmallWeights, WeightForm } from "./compiler.js";
export type { WasmInput } from "./load.js";
export type { BytesSource } from "./types.js";

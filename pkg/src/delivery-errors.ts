import { RankletError, describe, type Reason } from "./reasons.js";

/**
 * A failure with a reason as it is, and anything else under `code`. By name, not by class: what a receiver rejects with is
 * of the class in the package's main entry, which is another file.
 */
export function failed(thrown: unknown, code: Reason): RankletError {
  const { name, code: own } = (thrown ?? {}) as { name?: unknown; code?: unknown };
  return name === "RankletError" && typeof own === "string"
    ? (thrown as RankletError)
    : new RankletError(code, describe(thrown));
}

/** Every reason this version knows. The set is open: a newer engine may give a string that is not here. */
export type KnownReason =
  | "loading"
  | "disposed"
  | "superseded"
  | "stale_list"
  | "wasm_unavailable"
  | "simd_unavailable"
  | "csp_blocked"
  | "wasm_fetch_failed"
  | "wasm_invalid"
  | "bundle_fetch_failed"
  | "load_timeout"
  | "bundle_corrupt"
  | "bundle_unsigned"
  | "bundle_signature"
  | "signature_unavailable"
  | "bundle_rollback"
  | "bundle_incompatible"
  | "self_test_failed"
  | "request_invalid"
  | "schema_mismatch"
  | "limit_exceeded"
  | "score_not_finite"
  | "deadline_exceeded"
  | "trapped"
  | "out_of_memory"
  | "worker_failed"
  | "worker_timeout"
  | "drift"
  | "holdout"
  | "disabled";

/** Why a ranking is in server order. Handle unknown strings: the set grows. */
export type Reason = KnownReason | (string & {});

/** An error with one of the reasons as its `code`: what `createScorer` and `score` throw, and what the face passes about inside. */
export class RankletError extends Error {
  override readonly name = "RankletError";
  readonly code: Reason;

  constructor(code: Reason, message: string) {
    super(message);
    this.code = code;
  }

  /** By name: each entry of the package is a file of its own, with a class of its own, and their errors meet. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    try {
      const { name, code, message } = value as RankletError;
      return name === "RankletError" && typeof code === "string" && typeof message === "string";
    } catch {
      return false;
    }
  }
}

/** What anything thrown says about itself, without ever throwing in turn: a thrown value may be a trap of its own. */
export function describe(thrown: unknown): string {
  try {
    const message = (thrown as { message?: unknown } | null)?.message;
    return typeof message === "string" ? message : String(thrown);
  } catch {
    return "an error that cannot be read";
  }
}

/** A failure of the face as it is, and anything else thrown (by the caller's getters, say) under `code`. */
export function failure(thrown: unknown, code: Reason): RankletError {
  return thrown instanceof RankletError ? thrown : new RankletError(code, describe(thrown));
}

/** What the engine threw as `{code, message}`, or the face itself; `undefined` for a trap or anything else. */
export function coded(thrown: unknown): RankletError | undefined {
  if (thrown instanceof RankletError) return thrown;
  if (thrown instanceof Error || typeof thrown !== "object" || thrown === null) return undefined;
  const { code, message } = thrown as { code?: unknown; message?: unknown };
  return typeof code === "string" ? new RankletError(code, String(message ?? "")) : undefined;
}

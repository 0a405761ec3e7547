/**
 * A text, an integer or a boolean as text, exactly; null for what is none. A number past 2^53 has already lost digits,
 * so it is none: such ids and categories come as BigInt or string.
 */
export function toText(value: unknown): string | null {
  if (typeof value === "string") return wellFormed(value);
  if (typeof value === "bigint" || typeof value === "boolean" || Number.isSafeInteger(value)) return String(value);
  return null;
}

/**
 * Half a surrogate pair becomes U+FFFD, as on every way into the engine. Texts go there joined, where two halves would
 * become one character, and no length would fit any more.
 */
function wellFormed(text: string): string {
  const known: { toWellFormed?(): string } = text as never;
  return known.toWellFormed?.() ?? text.replace(/\p{Surrogate}/gu, "\ufffd");
}

/** A number, or a boolean as 0 or 1; NaN, a missing value, for anything else. */
export function toNumber(value: unknown): number {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "bigint" ? Number(value) : NaN;
}

/** An array of whatever kind; null for what is none. */
export function toList(value: unknown): ArrayLike<unknown> | null {
  const typed = ArrayBuffer.isView(value) && !(value instanceof DataView);
  return Array.isArray(value) || typed ? (value as ArrayLike<unknown>) : null;
}

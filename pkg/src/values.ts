/** An id as text, exactly; null for what is none. A number past 2^53 has already lost digits, so it is none. */
export function idText(id: unknown): string | null {
  if (typeof id === "string") return id;
  if (typeof id === "bigint") return String(id);
  if (typeof id !== "number" || !Number.isFinite(id)) return null;
  return Number.isInteger(id) && !Number.isSafeInteger(id) ? null : String(id);
}

/** A number, or a boolean as 0 or 1; NaN, a missing value, for anything else. */
export function toNumber(value: unknown): number {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "bigint" ? Number(value) : NaN;
}

/** A category as text: a string, or an integer or boolean as it is written. */
export function categoryText(value: unknown): string | null {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return String(value);
  return idText(value);
}

/** A candidate as its element states it, in the keys of a request file. */
export interface Marked {
  id: string;
  key?: string | undefined;
  type?: string | undefined;
  target?: string | undefined;
  server_score?: number | undefined;
  value?: number | undefined;
  boost?: number | undefined;
  spend_effect?: number | undefined;
  benefit_lower?: number | undefined;
  pin?: number | undefined;
  features?: Record<string, unknown> | undefined;
}

/** `data-id`; null for a child that is no candidate. */
export function idOf(child: Element): string | null {
  return child.getAttribute("data-id");
}

/** Reads `data-id`, `data-server-score` and their like; `data-features` is a JSON object. What cannot be read is missing. */
export function marked(child: Element): Marked {
  const text = (name: string) => child.getAttribute(`data-${name}`) ?? undefined;
  const number = (name: string) => {
    const given = text(name);
    return given === undefined || given.trim() === "" ? undefined : Number(given);
  };
  return {
    id: text("id") ?? "",
    key: text("key"),
    type: text("type"),
    target: text("target"),
    server_score: number("server-score"),
    value: number("value"),
    boost: number("boost"),
    spend_effect: number("spend-effect"),
    benefit_lower: number("benefit-lower"),
    pin: number("pin"),
    features: object(text("features")),
  };
}

/** The object that a text states as JSON; undefined if it is none. */
export function object(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "null");
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // As if it were not there.
  }
  return undefined;
}

import type { ColumnInfo } from "./engine.js";
import type { Session } from "./session.js";
import type { Privacy } from "./types.js";
import type { AsyncSession } from "./worker-session.js";

/** What a signal means. */
export interface SignalDescription {
  /** `local.session.events`, `facts.account.country`. */
  name: string;
  unit: string;
  privacy: Privacy;
  /** Whether it differs between the candidates of a request. */
  per: "request" | "candidate";
  doc: string;
  /** In terms of JSON Schema; a missing value is null. */
  type: string[];
}

/** What `session.signals()` may tell. */
export interface Description {
  signals: SignalDescription[];
  /** A JSON Schema (2020-12) of its values. */
  schema: Record<string, unknown>;
}

/** What an engine says of its signals, and the columns of its schema. */
export interface Meanings {
  local: string;
  columns: readonly ColumnInfo[];
}

/**
 * What `session.signals()` may tell: names, units, privacy labels and meanings, and a JSON Schema of its values. Empty while there
 * is no engine.
 */
export function describeSignals<C>(session: Session<C>): Description;
export function describeSignals<C>(session: AsyncSession<C>): Promise<Description>;
export function describeSignals<C>(session: Session<C> | AsyncSession<C>): Description | Promise<Description> {
  const meanings = session.meanings();
  return meanings instanceof Promise ? meanings.then(described) : described(meanings);
}

const FACT_TYPES = { number: ["number", "boolean"], string: ["string", "number", "boolean"] } as Record<string, string[] | undefined>;

function described(meanings: Meanings | null): Description {
  if (!meanings) return { signals: [], schema: { type: "object" } };
  const { local, columns } = meanings;
  const signals: SignalDescription[] = [];
  const add = (name: string, unit: string, privacy: string, per: string, doc: string, type: string[]) =>
    signals.push({ name, unit, privacy: privacy as Privacy, per: per as SignalDescription["per"], doc, type });
  const lines = local.split("\n");
  for (let at = 0; at + 4 < lines.length; at += 5) {
    const [name, unit, privacy, per, doc] = lines.slice(at) as [string, string, string, string, string];
    add(`local.${name}`, unit, privacy, per, doc, ["number"]);
  }
  for (const { path, kind, per } of columns) {
    if (per === "request") add(path, "as given", "loggable", per, "a fact of the request that the model reads", FACT_TYPES[kind] ?? ["array"]);
  }
  const properties: Record<string, unknown> = {};
  for (const { name, unit, privacy, doc, type } of signals) {
    const range = unit === "boolean" ? { minimum: 0, maximum: 1 } : {};
    properties[name] = { type: [...type, "null"], description: doc, "x-unit": unit, "x-privacy": privacy, ...range };
  }
  const schema = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    properties,
    patternProperties: { "^facts\\.": { type: ["number", "string", "boolean", "array", "null"] } },
    additionalProperties: false,
  };
  return { signals, schema };
}

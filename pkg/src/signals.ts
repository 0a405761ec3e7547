import type { EngineInfo } from "./engine.js";
import type { Description, Facts, Privacy, SignalDescription, SignalValue } from "./types.js";

/** Of `Engine.signals`: nobody was asked about. */
const NOT_ASKED = Infinity;

/** Values by name: the engine's numbers under `local.`, what a list was given as facts under `facts.`. */
export function named({ signals }: EngineInfo, values: Float64Array, facts: Facts | undefined): Record<string, SignalValue> {
  const all: Record<string, SignalValue> = {};
  signals.forEach((name, at) => {
    const value = values[at]!;
    if (value !== NOT_ASKED) all[`local.${name}`] = Number.isNaN(value) ? null : value;
  });
  for (const [group, members] of Object.entries(facts ?? {})) {
    for (const [name, value] of Object.entries(members)) all[`facts.${group}.${name}`] = plain(value);
  }
  return all;
}

/** What stands in a JSON document; anything else is missing. */
function plain(value: unknown): SignalValue {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (Array.isArray(value)) return value.map(plain).filter((item) => item !== null && !Array.isArray(item)) as (string | number | boolean)[];
  return typeof value === "string" || typeof value === "boolean" ? value : null;
}

const FACT_TYPES = { number: ["number", "boolean"], string: ["string", "number", "boolean"] } as Record<string, string[] | undefined>;

/** What values may be met, and what they mean; `local` is the engine's `describe`. */
export function described(local: string, { columns }: EngineInfo): Description {
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

import type { EngineInfo } from "./engine.js";
import type { Description, Facts, SignalDescription, SignalValue } from "./types.js";

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

/** What values may be met, and what they mean. */
export function described(local: readonly Omit<SignalDescription, "type">[], { columns }: EngineInfo): Description {
  const signals: SignalDescription[] = local.map((signal) => ({ ...signal, name: `local.${signal.name}`, type: ["number"] }));
  for (const { path, kind, per } of columns) {
    if (per !== "request") continue;
    const type = FACT_TYPES[kind] ?? ["array"];
    signals.push({ name: path, unit: "as given", privacy: "loggable", per, doc: "a fact of the request that the model reads", type });
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

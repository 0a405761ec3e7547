import type { EngineInfo } from "./engine.js";
import type { Facts, SignalValue } from "./types.js";

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

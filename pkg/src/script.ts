import { HEADER, ITEM } from "./engine.js";
import type { Running } from "./host.js";

/** What a test wants to see first; ids as the engine has them. */
export interface Script {
  order: readonly string[] | null;
}

/** Where an item of the engine's answer says by which constraints it stands, as bits of `info.constraints`. */
const CONSTRAINTS = 7;

/** What is known of a list: the ids of its rows, and the rows in the order last scripted. */
interface Known {
  ids: string[];
  shown: number[] | null;
}

/** Has an engine answer in the script's order. The engine is told what was shown, so that what is frozen stays. */
export function follow({ engine, info, plan }: Running, script: Script): void {
  const lists = new Map<number, Known>();
  const frozen = info.constraints.indexOf("frozen");
  const own = { prepare: engine.prepare, append: engine.append, rerank: engine.rerank, record: engine.record, free: engine.list_free };
  const idsOf = (n: number, columns: Float64Array, pool: string, lengths: Uint32Array) => {
    const texts: string[] = [];
    let at = 0;
    for (const length of lengths) texts.push(pool.slice(at, (at += length)));
    // The ids are the first column after the request's own values.
    return Array.from(columns.subarray(plan.facts.length, plan.facts.length + n), (index) => texts[index]!);
  };
  engine.prepare = (session, options, ...part) => {
    const handle = own.prepare.call(engine, session, options, ...part);
    lists.set(handle, { ids: idsOf(...part), shown: null });
    return handle;
  };
  engine.append = (handle, ...part) => {
    own.append.call(engine, handle, ...part);
    lists.get(handle)!.ids.push(...idsOf(...part));
  };
  engine.rerank = (handle, ...options) => {
    const values = own.rerank.call(engine, handle, ...options);
    const known = lists.get(handle)!;
    known.shown = null;
    if (!script.order || values[0] !== 1) return values;
    const width = ITEM + 2 * values[3]!;
    const items = Array.from({ length: values[2]! }, (_, place) => values.subarray(HEADER + place * width, HEADER + (place + 1) * width));
    const wanted = new Map(script.order.map((id, place) => [id, place]));
    const place = (item: Float64Array) => wanted.get(known.ids[item[0]!]!) ?? Infinity;
    const stands = (item: Float64Array) => Math.floor(item[CONSTRAINTS]! / 2 ** frozen) % 2 === 1;
    // Sorting is stable: what the script does not name keeps the model's order.
    const free = items.filter((item) => !stands(item)).sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
    const ordered = items.map((item) => (stands(item) ? item : free.shift()!));
    const answer = values.slice();
    ordered.forEach((item, at) => answer.set(item, HEADER + at * width));
    known.shown = ordered.map((item) => item[0]!);
    engine.shown(handle, Uint32Array.from(known.shown));
    return answer;
  };
  // A scripted order is no decision of the policy, so there is no record of it that could be replayed.
  engine.record = (handle, full) => (lists.get(handle)!.shown ? undefined : own.record.call(engine, handle, full));
  engine.list_free = (handle) => {
    lists.delete(handle);
    own.free.call(engine, handle);
  };
}

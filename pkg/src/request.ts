import { invalid, keepFacts, keepFeatures, readRows, type Reader } from "./candidates.js";
import { encode, type Encoded, type Rows } from "./columns.js";
import type { Host } from "./host.js";
import type { Records } from "./recorder.js";
import { RankletError, failure } from "./reasons.js";
import type { Facts, Frozen, RerankRequest } from "./types.js";
import { toText } from "./values.js";

/** Above this the engine does not rank, and the face does not read. */
const MOST_CANDIDATES = 16_384;

/** What a reranker's sessions share. */
export interface Shared<C> {
  host: Host;
  reader: Reader<C>;
  clock: () => number;
  maxEvents: number;
  deadlineMs: number | undefined;
  records: Records;
}

/** What the rows of a response are called. */
export interface Names {
  rowOf: Map<string, number>;
  ids: string[];
  keys: string[];
  types: (string | null)[];
  surface: string | null;
}

/** Candidates that came together: read, and encoded as soon as there is a schema to encode them by. */
export interface Part {
  rows: Rows;
  encoded: Encoded | null;
}

/** A request as far as it could be read; what is wrong with it stands in `broken`. */
export interface Prepared<C> {
  items: C[];
  names: Names;
  part: Part | null;
  facts: Facts;
  listId: string | null;
  decisionId: string | null;
  seed: number | string | bigint | null;
  now: number;
  frozen: Frozen | null;
  broken: RankletError | null;
}

export function readRequest<C>(shared: Shared<C>, request: RerankRequest<C>): Prepared<C> {
  const names: Names = { rowOf: new Map(), ids: [], keys: [], types: [], surface: null };
  const prepared: Prepared<C> = {
    items: [], names, part: null, facts: {}, listId: null, decisionId: null, seed: null, now: NaN, frozen: null, broken: null,
  };
  try {
    // The items first: whatever else is wrong, they are what the caller gets back.
    const { candidates } = request;
    prepared.items = copyItems(candidates);
    const { facts, surface, list_id, decision_id, seed, now, frozen } = request;
    prepared.listId = toText(list_id);
    prepared.decisionId = toText(decision_id);
    prepared.seed = typeof seed === "number" || typeof seed === "string" || typeof seed === "bigint" ? seed : null;
    prepared.frozen = frozen ?? null;
    names.surface = typeof surface === "string" ? surface : null;
    const time = now ?? shared.clock();
    if (!Number.isFinite(time)) throw invalid("the request's now is not a number of ms");
    prepared.now = time;
    prepared.facts = keepFacts(facts);
    prepared.part = readWhole(shared, names, prepared.items, prepared.facts);
  } catch (thrown) {
    prepared.broken = failure(thrown, "request_invalid");
  }
  return prepared;
}

/** Reads the rows of a whole response, and names them. */
function readWhole<C>(shared: Shared<C>, names: Names, items: readonly C[], facts: Facts): Part {
  checkCount(items.length);
  const { rows, error } = readRows(shared.reader, items);
  const twice = nameRows(names, rows);
  if (error) throw error;
  if (twice !== undefined) throw invalid(`two candidates have the id ${JSON.stringify(twice)}`);
  return encodePart(shared, rows, facts);
}

/** A further page of a response, with nothing of it done yet. */
export interface Page<C> {
  items: C[];
  rows: Rows | null;
  part: Part | null;
  error: RankletError | null;
}

/**
 * Reads a further page. Pages overlap where the server's list moved between them, so an id that `names` or the page holds
 * already is passed over: what stands, stands. Runs the caller's code, and changes nothing.
 */
export function readPage<C>(shared: Shared<C>, names: Names, candidates: readonly C[]): Page<C> {
  const page: Page<C> = { items: [], rows: null, part: null, error: null };
  try {
    page.items = copyItems(candidates);
    checkCount(names.ids.length + page.items.length);
    const own = new Set<string>();
    const held = (id: string) => names.rowOf.has(id) || own.size === own.add(id).size;
    Object.assign(page, readRows(shared.reader, page.items, held));
    if (!page.error) page.part = encodePart(shared, page.rows!, null);
  } catch (thrown) {
    page.error = failure(thrown, "request_invalid");
  }
  return page;
}

function checkCount(count: number): void {
  if (count > MOST_CANDIDATES) {
    throw new RankletError("limit_exceeded", `${count} candidates, more than ${MOST_CANDIDATES}`);
  }
}

/** Adds rows to the names; of two with one id the first has it, and the id is given. */
export function nameRows(names: Names, { columns: [ids, keys, types] }: Rows): string | undefined {
  let twice: string | undefined;
  ids.forEach((id, at) => {
    if (names.rowOf.has(id)) twice ??= id;
    else names.rowOf.set(id, names.ids.length);
    names.ids.push(id);
    names.keys.push(keys[at] ?? id);
    names.types.push(types[at]!);
  });
  return twice;
}

function encodePart<C>({ host }: Shared<C>, rows: Rows, facts: Facts | null): Part {
  const encoded = host.running ? encode(host.running.plan, rows, facts) : null;
  if (!host.closed && !encoded) keepFeatures(rows);
  else rows.features = [];
  return { rows, encoded };
}

/** A plain copy of the caller's array: its own length and elements, whatever methods it was given. */
export function copyItems<C>(candidates: readonly C[]): C[] {
  if (!Array.isArray(candidates)) throw invalid("what should be an array is none");
  const items: C[] = [];
  for (let at = 0, n = candidates.length; at < n; at++) items.push(candidates[at] as C);
  return items;
}

import type { PlainEvent } from "./events.js";
import type { Names, Prepared } from "./request.js";

/** How many of the last responses an event may name a row of. */
const REMEMBERED = 16;

interface Response {
  names: Names;
  /** What tells it from other responses. */
  list: string;
  /** The first row of each key, as far as rows were read. */
  rows: Map<string, number>;
  read: number;
}

/** The last responses of a session: what events name is looked up in them, the newest first. */
export class Shown {
  #responses: Response[] = [];

  add({ names, listId, decisionId, now }: Prepared<unknown>): void {
    // The same as the engine's `list_name`: a response that comes twice is one list.
    const list = `${listId ?? ""}/${decisionId ?? ""}/${Math.floor(now)}`;
    this.#responses.unshift({ names, list, rows: new Map(), read: 0 });
    if (this.#responses.length > REMEMBERED) this.#responses.pop();
  }

  /**
   * Fills in what the candidate is known by, so that the event stands without the lists when it is replayed. As in the
   * engine, the newest response counts, and in it the first row of a key.
   */
  complete(event: PlainEvent): void {
    const { candidate } = event;
    const named = candidate === undefined ? undefined : this.#responses.find(({ names }) => names.rowOf.has(candidate));
    event.key ??= named ? named.names.keys[named.names.rowOf.get(candidate!)!]! : candidate;
    const impression = event.type === "impression" && event.list === undefined;
    if (event.key === undefined || (event.candidate_type !== undefined && !impression)) return;
    const holder = this.#holder(event.key);
    event.candidate_type ??= holder?.names.types[holder.rows.get(event.key)!] ?? undefined;
    if (impression) event.list = (named ?? holder)?.list;
  }

  /** A candidate's key and type. */
  identity(candidate: string): { key: string; type: string | undefined } {
    const event: PlainEvent = { type: "open", candidate, time: 0 };
    this.complete(event);
    return { key: event.key!, type: event.candidate_type };
  }

  clear(): void {
    this.#responses = [];
  }

  #holder(key: string): Response | undefined {
    return this.#responses.find((response) => {
      const { names, rows } = response;
      for (; response.read < names.keys.length; response.read++) {
        const known = names.keys[response.read]!;
        if (!rows.has(known)) rows.set(known, response.read);
      }
      return rows.has(key);
    });
  }
}

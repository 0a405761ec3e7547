import { hex, sha256 } from "./delivery-hex.js";
import type { Stated } from "./delivery-slots.js";
import { describe } from "./reasons.js";
import { alone, type Store } from "./storage-store.js";

/** A bundle that was opened and passed its self-test here. */
export interface Good extends Stated {
  sha256: string;
}

/** What a device remembers of a delivery. */
export interface Memory {
  /** The highest version that ever ran here. */
  floor: number;
  /** The last known good bundle. */
  good: Good | null;
  /** The channel as it was read last: its text, its ETag, and when, ms since the epoch. */
  channel: { text: string; etag: string | null; readAt: number } | null;
}

/** The memory of one delivery in a store. It fails by saying so in `problem`; a delivery goes on without it. */
export class Kept {
  memory: Memory = { floor: 0, good: null, channel: null };
  /** Why something was not kept, if so. */
  problem: string | null = null;
  readonly #store: Store | undefined;
  readonly #prefix: string;

  constructor(store: Store | undefined, name: string) {
    this.#store = store;
    this.#prefix = `ranklet/delivery/${JSON.stringify(name)}/`;
  }

  get keeps(): boolean {
    return this.#store !== undefined;
  }

  /** Takes up what is stored; what cannot be read is as if it were not there. */
  async open(): Promise<void> {
    await this.#tried(async (store) => {
      this.memory = await this.#stored(store);
    });
  }

  /** The bytes of the last known good bundle, whole, or undefined. */
  async bytes(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { good } = this.memory;
    if (!good) return undefined;
    let found: Uint8Array | string | undefined;
    await this.#tried(async (store) => {
      found = await store.get(this.#prefix + good.sha256);
    });
    if (!(found instanceof Uint8Array)) return undefined;
    // A copy, also of a view whose `slice` is none, as Node's Buffer has it.
    const bytes = new Uint8Array(found);
    return hex(await sha256(bytes)) === good.sha256 ? bytes : undefined;
  }

  /** A channel was read. */
  async read(channel: Memory["channel"]): Promise<void> {
    this.memory.channel = channel;
    await this.#tried((store) => this.#write(store));
  }

  /** A bundle runs. Its bytes are stored before anything names them, and those of others go after that, so a stop in between loses neither. */
  async ran(good: Good, bytes: Uint8Array | undefined): Promise<void> {
    const { memory } = this;
    memory.floor = Math.max(memory.floor, good.version);
    await this.#tried(async (store) => {
      if (bytes && memory.good?.sha256 !== good.sha256) {
        await store.set(this.#prefix + good.sha256, bytes);
        memory.good = good;
      }
      await this.#write(store);
      for (const key of await store.keys(this.#prefix)) {
        if (/\/[0-9a-f]{64}$/.test(key) && memory.good && !key.endsWith(memory.good.sha256)) await store.delete(key);
      }
    });
    // Without room for the bundle, that its version ran must still be known.
    if (this.problem !== null) await this.#tried((store) => this.#write(store), this.problem);
  }

  #write(store: Store): Promise<void> {
    return alone(this.#prefix, async () => {
      // Another tab may have run a newer one.
      const other = await this.#stored(store);
      const { memory } = this;
      memory.floor = Math.max(memory.floor, other.floor);
      if (other.good && other.good.version > (memory.good?.version ?? 0)) memory.good = other.good;
      await store.set(`${this.#prefix}state`, JSON.stringify({ format: 1, ...memory }));
    });
  }

  async #stored(store: Store): Promise<Memory> {
    const text = await store.get(`${this.#prefix}state`);
    return typeof text === "string" ? readMemory(text) : readMemory("{}");
  }

  async #tried(work: (store: Store) => Promise<void>, before: string | null = null): Promise<void> {
    if (!this.#store) return;
    try {
      await work(this.#store);
      this.problem = before;
    } catch (thrown) {
      this.problem = describe(thrown) || "the store failed";
    }
  }
}

/** What was stored, as far as it has the form; another program, or a fault, may have written it. */
function readMemory(text: string): Memory {
  let given: Partial<Memory> = {};
  try {
    given = (JSON.parse(text) ?? {}) as Partial<Memory>;
  } catch {
    // As if nothing were stored.
  }
  const { floor = 0, good, channel } = given;
  return {
    floor: Number.isSafeInteger(floor) ? Math.max(floor, 0) : 0,
    good: good && /^[0-9a-f]{64}$/.test(good.sha256) && Number.isSafeInteger(good.version) ? good : null,
    channel:
      typeof channel?.text === "string" && Number.isFinite(channel.readAt)
        ? { ...channel, etag: typeof channel.etag === "string" ? channel.etag : null }
        : null,
  };
}

/**
 * Where bytes and texts are kept by key: IndexedDB, or whatever the caller has. All of it may reject; a `set` that fails
 * for want of room rejects with an error whose `name` is `QuotaExceededError`.
 */
export interface Store {
  /** The name under which pages that share this store tell each other of changes; without one they do not. */
  readonly tabs?: string;
  get(key: string): Promise<Uint8Array | string | undefined>;
  set(key: string, value: Uint8Array | string): Promise<void>;
  delete(key: string): Promise<void>;
  /** The keys that begin with `prefix`, in any order. */
  keys(prefix: string): Promise<string[]>;
}

/** A store that lasts as long as the page. */
export function memoryStore(): Store {
  const all = new Map<string, Uint8Array | string>();
  return {
    get: async (key) => all.get(key),
    set: async (key, value) => void all.set(key, value),
    delete: async (key) => void all.delete(key),
    keys: async (prefix) => [...all.keys()].filter((key) => key.startsWith(prefix)),
  };
}

/** Runs `work` while no other tab runs its own under `name`, where the platform has locks; elsewhere at once. */
export async function alone<T>(name: string, work: () => Promise<T>): Promise<T> {
  const { locks } = (globalThis.navigator ?? {}) as { locks?: LockManager };
  // A page that is no secure context has none, and one that is being left gets none.
  let begun = false;
  const once = () => {
    begun = true;
    return work();
  };
  try {
    return await (locks ? locks.request(name, once) : once());
  } catch (thrown) {
    if (begun) throw thrown;
    return work();
  }
}

import { describe } from "./reasons.js";
import { memoryStore, type Store } from "./storage-store.js";

const ROOM = "kept";

export interface IndexedDbOptions {
  /** The database. Default `ranklet`. */
  name?: string;
  /** Told when the database is refused, and the memory takes its place. What it throws is dropped. */
  onFallback?: (why: string) => void;
}

export interface IndexedDbStore extends Store {
  /** Why what is kept lasts only as long as the page; null while it is in the database. Known once anything was asked for. */
  readonly fallback: string | null;
  /** Closes the connection, which the next call opens again. */
  close(): void;
}

/**
 * Keeps bytes and texts in IndexedDB. Where the browser refuses to open it (private mode, no storage allowed, a database of
 * a newer version) the memory takes its place, and says so; what the database holds is left as it is.
 */
export function indexedDbStore({ name = "ranklet", onFallback }: IndexedDbOptions = {}): IndexedDbStore {
  const memory = memoryStore();
  let fallback: string | null = null;
  let opening: Promise<void> | undefined;
  let database: IDBDatabase | undefined;

  const open = async () => {
    try {
      database = await connect(name, () => (database = opening = undefined));
    } catch (thrown) {
      fallback = describe(thrown);
      try {
        onFallback?.(fallback);
      } catch {
        // A listener's failure is its own.
      }
    }
  };
  // Asked without a turn of the event loop where the database is open: a page that is left has no other turn.
  const use = <T>(mode: IDBTransactionMode, ask: (room: IDBObjectStore) => IDBRequest, instead: () => Promise<T>): Promise<T> => {
    if (fallback !== null) return instead();
    if (database) return asked(database, mode, ask);
    return (opening ??= open()).then(() => use(mode, ask, instead));
  };

  return {
    tabs: name,
    get fallback() {
      return fallback;
    },
    get: (key) => use("readonly", (room) => room.get(key), () => memory.get(key)),
    set: (key, value) => use<void>("readwrite", (room) => room.put(value, key), () => memory.set(key, value)),
    delete: (key) => use<void>("readwrite", (room) => room.delete(key), () => memory.delete(key)),
    keys: (prefix) =>
      use(
        "readonly",
        (room) => room.getAllKeys(IDBKeyRange.bound(prefix, `${prefix}\uffff`)),
        () => memory.keys(prefix),
      ),
    close() {
      database?.close();
      database = opening = undefined;
    },
  };
}

function connect(name: string, gone: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    // A place without IndexedDB throws here, and so does one that forbids it.
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(ROOM);
    request.onerror = () => reject(request.error!);
    request.onsuccess = () => {
      const database = request.result;
      // Whoever wants to delete the database, or to bring it up to date, must not wait for this page.
      database.onversionchange = () => {
        database.close();
        gone();
      };
      database.onclose = gone;
      resolve(database);
    };
  });
}

/** Resolves when it is in the database, not before: quota is refused as late as that. */
function asked<T>(database: IDBDatabase, mode: IDBTransactionMode, ask: (room: IDBObjectStore) => IDBRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(ROOM, mode);
    const request = ask(transaction.objectStore(ROOM));
    // At once: where the page goes before the answer comes, a write that nobody committed goes with it.
    transaction.commit?.();
    transaction.oncomplete = () => resolve(request.result as T);
    transaction.onabort = () => reject(transaction.error ?? request.error ?? new Error("the database gave up"));
  });
}

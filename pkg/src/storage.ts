export { indexedDbStore } from "./storage-indexeddb.js";
export type { IndexedDbOptions, IndexedDbStore } from "./storage-indexeddb.js";
export { persistSession } from "./storage-session.js";
export type { PersistOptions, PersistedSession, StorageProblem } from "./storage-session.js";
export { memoryStore } from "./storage-store.js";
export type { Store } from "./storage-store.js";
export type { Reranker } from "./reranker.js";
export type { Session } from "./session.js";

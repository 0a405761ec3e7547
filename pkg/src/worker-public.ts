export type { AsyncReranker, AsyncRerankerOptions } from "./worker.js";
export type { AsyncList, AsyncRanking } from "./worker-list.js";
export type { AsyncSession, AsyncSignalOptions } from "./worker-session.js";
export type { Port } from "./worker-messages.js";

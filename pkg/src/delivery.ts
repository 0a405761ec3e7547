import { Managed } from "./delivery-managed.js";
import type { DeliveryOptions, ManagedDelivery } from "./delivery-options.js";
import type { RankletError } from "./reasons.js";
import type { BundleInfo } from "./types.js";

/** Where a reranker's bundles come from over its life. A plain `bundle` is one of one. */
export interface Delivery {
  /** Called once. Whatever it does later, it does through `to`. Must not throw: what it throws fails the load. */
  start(to: Receiver): void;
  /** The reranker was disposed: what is offered from now on is refused. */
  stop(): void;
}

/** What a delivery does to its reranker. To be called as methods. */
export interface Receiver {
  /**
   * Opens these bytes beside what runs, self-test included; only then they take its place, at once for everybody. Rejects with
   * a `RankletError` and leaves what runs running. The bytes are the receiver's own from now on. Of two at a time the one
   * offered later stands: the earlier rejects with `superseded` where the later one came first.
   */
  offer(bytes: Uint8Array<ArrayBuffer>): Promise<BundleInfo>;
  /** No bundle comes for now, for this reason; does nothing while one runs. */
  refuse(error: RankletError): void;
  /** The kill switch: server order, `disabled`, with this detail, until `enable`. It beats whatever is loaded or offered. */
  disable(detail: string): void;
  enable(): void;
  /** The bytes of a URL, or of a path where the platform has files. Rejects with `bundle_fetch_failed`. */
  read(source: URL | string): Promise<Uint8Array<ArrayBuffer>>;
  /** The reranker's clock, ms since the epoch: always a finite number. */
  now(): number;
}

export { bucketOf } from "./delivery-channel.js";
export { RankletError } from "./reasons.js";
export type { DeliveryOptions, DeliveryState, ManagedDelivery, Problem } from "./delivery-options.js";
export type { KnownReason, Reason } from "./reasons.js";
export type { Store } from "./storage-store.js";
export type { BundleInfo } from "./types.js";

/**
 * Signed bundles from a channel or one address, for `createReranker({ delivery })`; one delivery a reranker. Does nothing
 * until it is given to one, and never throws: what is wrong with the options fails the load.
 */
export function createDelivery(options: DeliveryOptions): ManagedDelivery {
  return new Managed(options);
}

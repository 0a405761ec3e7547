import { Managed } from "./delivery-managed.js";
import type { DeliveryOptions, ManagedDelivery } from "./delivery-options.js";

export { bucketOf } from "./delivery-channel.js";
export { RankletError } from "./reasons.js";
export type { Delivery, Receiver } from "./delivery.js";
export type { DeliveryOptions, DeliveryState, ManagedDelivery, Problem } from "./delivery-options.js";
export type { KnownReason, Reason } from "./reasons.js";
export type { Store } from "./storage-store.js";

/**
 * Signed bundles from a channel or one address, for `createReranker({ delivery })`; one delivery a reranker. Does nothing
 * until it is given to one, and never throws: what is wrong with the options fails the load.
 */
export function createDelivery(options: DeliveryOptions): ManagedDelivery {
  return new Managed(options);
}

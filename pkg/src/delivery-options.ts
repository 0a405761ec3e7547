import type { Delivery } from "./delivery.js";
import type { Reason } from "./reasons.js";
import type { Store } from "./storage-store.js";

/** Where bundles come from, and which are let through. */
export interface DeliveryOptions {
  /** A bundle that is asked for anew each time; or `channel`. */
  bundle?: URL | string;
  /** A channel document (`docs/delivery.md`): which bundle is for whom, and the kill switch. */
  channel?: URL | string;
  /**
   * The public keys that may sign, as `ranklet keygen` writes them to a `.pub` file; any of them will do, and one that is
   * taken away is revoked. `"unsigned"`: nothing is verified, in so many words.
   */
  keys: string | readonly string[];
  /** Refuse a channel that is not signed. One that is signed must be by these keys either way. */
  signedChannel?: boolean;
  /** The name that a bundle's manifest must have: the same keys may sign models of other places. */
  model?: string;
  /** Versions below it are refused, and below any that ran here; but never the last known good bundle. */
  minVersion?: number;
  /** Keeps the last known good bundle, the highest version and the channel's last answer. */
  store?: Store;
  /** Tells deliveries in one store apart. Default: the address of the channel or bundle. */
  name?: string;
  /** The user or account of a staged rollout, by which it is in or out; without it only what is for all. */
  unit?: string;
  /** The channel is asked again this often, ms, while the page is visible. Default 0: only by `refresh`. */
  intervalMs?: number;
  /** After this long an answer is late and counts as none, ms. Default 10,000. */
  timeoutMs?: number;
  /** What holds where no channel was ever read. Default `keep`. */
  offline?: "keep" | "off";
  /** Told at each change of state. What it throws is dropped. */
  onState?: (state: DeliveryState) => void;
}

/** A failure with its reason and one line for a person. */
export interface Problem {
  code: Reason;
  detail: string;
}

/** What an operator wants to know of one device. */
export interface DeliveryState {
  /** The bundle that was let through last, and where its bytes came from; null: none yet. */
  serving: { name: string; version: number; sha256: string; from: "network" | "store" } | null;
  /** Why what is wanted does not run; with `serving` from the store, the last known good bundle runs in its place. */
  problem: Problem | null;
  /** The channel's last answer, when it was read (ms since the epoch), and why it could not be read since. */
  channel: { sequence: number | null; readAt: number | null; problem: Problem | null } | null;
  /** Why there is to be no model: the kill switch's words, a channel that has none for this unit, or one that cannot be read. */
  disabled: string | null;
  /** Why something could not be kept. */
  storage: string | null;
}

/** A delivery that its caller can look at, and have look again. */
export interface ManagedDelivery extends Delivery {
  readonly state: DeliveryState;
  /** Asks the channel, or for the bundle, now. Resolves when what came of it runs or failed to; never rejects. */
  refresh(): Promise<DeliveryState>;
}

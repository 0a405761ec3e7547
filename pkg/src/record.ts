import type { Reason } from "./reasons.js";

/** What may be recorded: nothing; what the policy decided from and what it decided; also the time and the feature rows. */
export type Consent = "none" | "aggregate" | "full";

/** A number; where JSON has none for it, a text; null: missing. */
export type Real = number | "inf" | "-inf" | "-0" | null;

/** A decision, in the keys of a record file: `ranklet replay` makes it again from this. */
export interface DecisionRecord {
  kind: "decision";
  level: "aggregate" | "full";
  source: "model" | "server";
  reason: Reason | null;
  decision_id: string | null;
  list_id: string | null;
  /** Past 2^53 a text. */
  seed: number | string | null;
  /** Ms since the epoch; level full alone. */
  now?: Real;
  surface: string | null;
  numerics: number | null;
  digests: { bundle: string; schema: string; policy: string } | null;
  /** Set where the model reads signals that stay on the device: a full record then has no feature rows. */
  withheld: "local_only" | null;
  /** Names of the heads, the primary one first. This and the next five: the model's order alone. */
  heads?: string[];
  types?: string[];
  /** How many were scored, the first in the server's order. */
  scored?: number;
  degraded?: boolean;
  /** Whether anything could have been drawn otherwise. */
  explored?: boolean;
  /** Natural logarithm of the probability of the whole list. */
  log_propensity?: Real;
  /** The features that all candidates share in inputs of their own, in the form of an item's. */
  shared?: string;
  /** In final order. */
  items: DecisionItem[];
}

export interface DecisionItem {
  id: string;
  key: string;
  /** From 1. */
  rank: number;
  /** From 1. */
  server_rank: number;
  score: Real;
  heads: Record<string, { raw: Real; calibrated: Real }>;
  utility: Real;
  propensity: Real;
  log_propensity: Real;
  suppressed: "dismissed" | "snoozed" | null;
  constraints: string[];
  /** Constraints that it breaks, since nothing that keeps them could stand there. */
  relaxed?: string[];
  type?: string;
  value?: Real;
  boost?: Real;
  spend_effect?: Real;
  benefit_lower?: Real;
  pin?: number;
  /** Items of one target have the same number. */
  target?: number;
  /** Positions that it stays out of, from the first. */
  cooldown?: number;
  fatigue?: number;
  /** What similarity is computed from: 8 hex digits, the bits of an f32, a column. */
  vector?: string;
  /** The feature row as the model saw it, in the same form. */
  features?: string;
  row_hash?: string;
}

/** An item that was seen. */
export interface ExposureRecord {
  kind: "exposure";
  decision_id: string | null;
  key: string;
  /** From 1. */
  position: number;
  visible_ms: Real;
}

/** How long after the decision: up to so much. */
export type Delay = "1s" | "10s" | "1m" | "10m" | "1h" | "1d" | "later";

/** What came of an item. */
export interface OutcomeRecord {
  kind: "outcome";
  decision_id: string | null;
  key: string;
  /** The event's type. */
  type: string;
  delay: Delay;
}

export type AnyRecord = DecisionRecord | ExposureRecord | OutcomeRecord;

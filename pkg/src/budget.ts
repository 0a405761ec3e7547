import type { Host } from "./host.js";

/**
 * How many candidates fit a deadline, from what re-ranks took so far. It learns only where the clock moves: a worker's
 * stands still while code runs, and there the caller gives `rows`.
 */
class Budget {
  #rows = 0;
  #ms = 0;

  rows(deadlineMs: number | undefined): number | undefined {
    if (deadlineMs === undefined || !(deadlineMs >= 0) || this.#ms === 0) return undefined;
    return Math.min(Math.floor((deadlineMs * this.#rows) / this.#ms), 0xffff);
  }

  /** A coarse clock rounds single times; their sum is right. Older times count half, a quarter... */
  learn(rows: number, ms: number): void {
    if (!(rows > 0) || !(ms >= 0) || !Number.isFinite(ms)) return;
    this.#rows += rows;
    this.#ms += ms;
    if (this.#rows > 20_000) {
      this.#rows /= 2;
      this.#ms /= 2;
    }
  }
}

const budgets = new WeakMap<Host, Budget>();

/** The budget of a reranker's engine. */
export function budgetOf(host: Host): Budget {
  let budget = budgets.get(host);
  if (!budget) budgets.set(host, (budget = new Budget()));
  return budget;
}

/** A caller's number of rows as the engine takes it. */
export function readRows(rows: number | null | undefined): number | undefined {
  return typeof rows === "number" && rows >= 0 ? Math.min(Math.floor(rows), 0xffff) : undefined;
}

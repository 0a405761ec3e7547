/** The longest that a timer waits. */
const MOST_MS = 2 ** 31 - 1;

/** One timer, and the page's visibility: when a delivery has to look again. */
export class Wake {
  readonly #look: (byTimer: boolean) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(look: (byTimer: boolean) => void) {
    this.#look = look;
    if (typeof document === "object") document.addEventListener("visibilitychange", this.#seen);
  }

  /** Whether somebody is looking; where there is no page, always. */
  get visible(): boolean {
    return typeof document !== "object" || document.visibilityState !== "hidden";
  }

  /** Looks again in this many ms, and not as agreed before; Infinity: not at all. */
  in(ms: number): void {
    clearTimeout(this.#timer);
    if (ms === Infinity) return;
    try {
      this.#timer = setTimeout(() => this.#look(true), Math.min(Math.max(ms, 0), MOST_MS));
      // In Node a channel that is asked now and then must not keep the process alive.
      (this.#timer as { unref?: () => void }).unref?.();
    } catch {
      // A worker's global scope has no timers; there the caller refreshes.
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    if (typeof document === "object") document.removeEventListener("visibilitychange", this.#seen);
  }

  readonly #seen = () => {
    if (this.visible) this.#look(false);
  };
}

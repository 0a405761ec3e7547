import type { PlainEvent } from "./events.js";

/** What a tab hears, and when it comes and goes. */
export interface Listener {
  heard(events: PlainEvent[]): void;
  forgotten(): void;
  left(): void;
  came(): void;
}

/** What tabs say: events, or that all is forgotten. */
interface Said {
  at: number;
  events?: PlainEvent[];
}

/** The other tabs, where the platform lets them speak, and this one's visibility. */
export class Tabs {
  readonly #channel: BroadcastChannel | undefined;
  readonly #listener: Listener;
  #forgotAt = 0;

  constructor(name: string | undefined, listener: Listener) {
    this.#listener = listener;
    if (name !== undefined && typeof BroadcastChannel === "function") {
      this.#channel = new BroadcastChannel(name);
      this.#channel.onmessage = ({ data }: MessageEvent<Partial<Said> | null>) => {
        const { at = 0, events } = data ?? {};
        // What was on its way when all was forgotten is forgotten too. One machine, one clock.
        if (at <= this.#forgotAt) return;
        if (Array.isArray(events)) return listener.heard(events);
        this.#forgotAt = at;
        listener.forgotten();
      };
      // In Node it must not keep the process alive.
      (this.#channel as { unref?: () => void }).unref?.();
    }
    if (typeof document === "object") {
      document.addEventListener("visibilitychange", this.#seen);
      addEventListener("pagehide", this.#gone);
    }
  }

  tell(events: PlainEvent[]): void {
    this.#channel?.postMessage({ at: Date.now(), events } satisfies Said);
  }

  forget(): void {
    this.#forgotAt = Date.now();
    this.#channel?.postMessage({ at: this.#forgotAt } satisfies Said);
  }

  close(): void {
    this.#channel?.close();
    if (typeof document === "object") {
      document.removeEventListener("visibilitychange", this.#seen);
      removeEventListener("pagehide", this.#gone);
    }
  }

  readonly #seen = () => {
    if (document.visibilityState === "hidden") this.#listener.left();
    else this.#listener.came();
  };

  readonly #gone = () => this.#listener.left();
}

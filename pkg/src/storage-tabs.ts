import type { PlainEvent } from "./events.js";

/** What a tab hears, and when it comes and goes. */
export interface Listener {
  heard(events: PlainEvent[]): void;
  forgotten(): void;
  left(): void;
  came(): void;
}

/** The other tabs, where the platform lets them speak, and this one's visibility. */
export class Tabs {
  readonly #channel: BroadcastChannel | undefined;
  readonly #listener: Listener;

  constructor(name: string | undefined, listener: Listener) {
    this.#listener = listener;
    if (name !== undefined && typeof BroadcastChannel === "function") {
      this.#channel = new BroadcastChannel(name);
      this.#channel.onmessage = ({ data }: MessageEvent<unknown>) => {
        if (data === "forget") listener.forgotten();
        else if (Array.isArray(data)) listener.heard(data as PlainEvent[]);
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
    this.#channel?.postMessage(events);
  }

  forget(): void {
    this.#channel?.postMessage("forget");
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

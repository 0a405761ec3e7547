import type { Delivery, Receiver } from "./delivery.js";
import { failure } from "./reasons.js";
import type { Line } from "./worker-line.js";
import { crossing } from "./worker-messages.js";

/**
 * Runs a delivery in the page, where its store, its timers and what it sees of the page's visibility are, for an engine in a
 * worker: it starts when the worker's reranker would start one, and stops when the worker is gone.
 */
export function deliver(delivery: Delivery, line: Line, clock: () => number, resolve: (source: string) => string): void {
  const to: Receiver = {
    offer: (bytes) => line.ask({ op: "offer", bytes }, true),
    refuse: ({ code, message }) => line.tell({ op: "refuse", code, message }),
    disable: (detail) => line.tell({ op: "disable", detail }),
    enable: () => line.tell({ op: "enable" }),
    read: (source) => line.ask({ op: "read", source: crossing(source, resolve) }, true),
    now: clock,
  };
  line.delivers = () => {
    line.ended = () => {
      try {
        delivery.stop();
      } catch {
        // It is over either way.
      }
    };
    try {
      delivery.start(to);
    } catch (thrown) {
      to.refuse(failure(thrown, "bundle_fetch_failed"));
    }
  };
}

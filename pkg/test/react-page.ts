// What the page has: the app, the client's React, and what is asked of them by name.
import * as React from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { App, newProbe, type Probe, type Props } from "./react-app.js";

const { createElement, StrictMode } = React;
let root: ReturnType<typeof createRoot> | undefined;
let [strict, key] = [false, "one"];
let props: Props;
let probe: Probe = newProbe();
const errors: string[] = [];
const place = () => document.getElementById("root")!;

function element() {
  const app = createElement(App, { ...props, probe, key });
  return strict ? createElement(StrictMode, null, app) : app;
}

const app = {
  version: React.version,
  errors,
  hydrate(given: Props) {
    props = given;
    root = hydrateRoot(place(), element(), { onRecoverableError: (error) => errors.push(String(error)) });
  },
  mount(given: Props, options: { strict?: boolean } = {}) {
    [props, strict, probe] = [given, options.strict ?? false, newProbe()];
    root = createRoot(place());
    root.render(element());
  },
  change(given: Partial<Props>, newKey = key) {
    [props, key] = [{ ...props, ...given }, newKey];
    root!.render(element());
  },
  /** React's own way to hide what stays mounted, where it has one. */
  hide(hidden: boolean) {
    const { Activity } = React as { Activity?: React.FC<{ mode: string; children: React.ReactNode }> };
    root!.render(createElement(Activity!, { mode: hidden ? "hidden" : "visible", children: element() }));
  },
  unmount() {
    root!.unmount();
  },
  probe: () => probe,
  order: () => [...document.querySelectorAll("li")].map(({ id }) => id),
  /** Ids of the items of which any part is in the window. */
  onScreen: () =>
    [...document.querySelectorAll("li")].filter((item) => {
      const { top, bottom } = item.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    }).map(({ id }) => id),
  async until(what: () => unknown, ms = 5000): Promise<void> {
    for (const end = performance.now() + ms; !what(); await app.frame()) {
      if (performance.now() > end) throw new Error(`not within ${ms} ms: ${String(what)}`);
    }
  },
  frame: () => new Promise((next) => requestAnimationFrame(() => setTimeout(next, 0))),
  /** Resolves when the last ranking is the model's. */
  ranked: () => app.until(() => probe.rankings.at(-1)?.source === "model"),
  /** Sum of the layout shifts so far. */
  shifts: () => (globalThis as unknown as { shifted: number }).shifted,
  live: () => ({
    rerankers: probe.rerankers.size,
    disposed: [...probe.rerankers].filter(({ status }) => status.reason === "disposed").length,
    sessions: probe.sessions.size,
    endedSessions: [...probe.sessions].filter(({ disposed }) => disposed).length,
  }),
};

declare global {
  // eslint-disable-next-line no-var
  var app: typeof app_;
}
const app_ = app;
globalThis.app = app;

import { toText } from "./values.js";
import type { Id } from "./types.js";

/** How much of an item, or of the place it is seen in, makes it seen. */
const HALF = 0.5;
/** Seen for this long without a break is an impression, ms. */
const IMPRESSION_MS = 1000;
/** An item higher than its place never reaches half of itself: it is looked at in steps. */
const STEPS = [0, 0.1, 0.2, 0.3, 0.4, HALF, 0.6, 0.7, 0.8, 0.9, 1];

export interface VisibleOptions {
  /** Told once of each item that was half visible for a second on end. */
  impression?: ((id: string) => void) | undefined;
  /** Told when what is on screen is known after it was not. */
  settled?: (() => void) | undefined;
}

/**
 * What a person has seen of a list, from one IntersectionObserver: the items that were half visible at some time, and
 * those that peek in now. They are what a re-rank leaves where it stands.
 */
export class Visible {
  readonly #options: VisibleOptions;
  // From the first element on: a list that is made and never shown, as React may, leaves nothing behind.
  #observer: IntersectionObserver | undefined;
  readonly #idOf = new Map<Element, string>();
  readonly #elementOf = new Map<string, Element>();
  readonly #refs = new Map<string, (element: Element | null) => void>();
  /** Half visible at some time. */
  readonly #seen = new Set<string>();
  /** Any part visible now, and half visible now. */
  readonly #peeking = new Set<string>();
  readonly #half = new Set<string>();
  /** Elements of which the observer has not said anything yet: they may be on screen. */
  readonly #unknown = new Set<Element>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #counted = new Set<string>();
  readonly #turned = () => this.#turn();

  constructor(options: VisibleOptions = {}) {
    this.#options = options;
  }

  /** A callback for `ref`, the same one for an id as long as it has an element. */
  ref(id: Id): (element: Element | null) => void {
    const text = toText(id) ?? "";
    let ref = this.#refs.get(text);
    if (!ref) {
      ref = (element) => (element ? this.observe(text, element) : this.unobserve(text));
      this.#refs.set(text, ref);
    }
    return ref;
  }

  /** Watches an item's element. */
  observe(id: string, element: Element): void {
    if (this.#elementOf.get(id) === element) return;
    this.#release(id);
    this.#elementOf.set(id, element);
    this.#idOf.set(element, id);
    if (!this.#observer) {
      if (typeof IntersectionObserver !== "function") return;
      this.#observer = new IntersectionObserver((entries) => this.#take(entries), { threshold: STEPS });
      document.addEventListener("visibilitychange", this.#turned);
    }
    this.#unknown.add(element);
    this.#observer.observe(element);
  }

  /** The item has no element any more; that it was seen is remembered. */
  unobserve(id: string): void {
    this.#refs.delete(id);
    this.#release(id);
    this.#settle();
  }

  /** Whether it is known of every element if it is on screen. A hidden page shows nothing, and is told nothing. */
  get settled(): boolean {
    this.#catchUp();
    return this.#unknown.size === 0 || document.visibilityState === "hidden";
  }

  /**
   * How many leading items of an order stay: up to the last that was seen or peeks in. What stands above it stays too,
   * for what moves there moves all that follows.
   */
  frozen(order: readonly string[]): number {
    this.#catchUp();
    let count = order.length;
    while (count > 0 && !this.#seen.has(order[count - 1]!) && !this.#peeking.has(order[count - 1]!)) count--;
    return count;
  }

  /** Another list begins: nothing of it was seen, and each of its items can make an impression. */
  reset(): void {
    this.#catchUp();
    this.#seen.clear();
    this.#counted.clear();
    for (const id of [...this.#half]) this.#stop(id);
    this.#half.clear();
    this.#peeking.clear();
    for (const element of this.#idOf.keys()) {
      // Observed anew, it is told of anew.
      this.#observer?.unobserve(element);
      this.#observer?.observe(element);
      if (this.#observer) this.#unknown.add(element);
    }
  }

  /** Marks an item as seen, whatever the observer says: what holds the focus, say. */
  see(id: string): void {
    this.#seen.add(id);
  }

  /** Forgets all; an element that is observed afterwards begins anew. */
  dispose(): void {
    if (this.#observer) document.removeEventListener("visibilitychange", this.#turned);
    this.#observer?.disconnect();
    this.#observer = undefined;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const all of [this.#timers, this.#idOf, this.#elementOf, this.#refs, this.#seen, this.#peeking, this.#half, this.#unknown, this.#counted]) all.clear();
  }

  /** What the observer has found and not yet told. */
  #catchUp(): void {
    if (this.#observer) this.#take(this.#observer.takeRecords());
  }

  #take(entries: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting, intersectionRatio, intersectionRect, rootBounds } of entries) {
      const id = this.#idOf.get(target);
      if (id === undefined) continue;
      this.#unknown.delete(target);
      const place = rootBounds ? rootBounds.height * HALF : Infinity;
      const half = isIntersecting && (intersectionRatio >= HALF || intersectionRect.height >= place);
      if (isIntersecting) this.#peeking.add(id);
      else this.#peeking.delete(id);
      if (half) this.#seen.add(id);
      if (half === this.#half.has(id)) continue;
      if (half) {
        this.#half.add(id);
        this.#start(id);
      } else {
        this.#half.delete(id);
        this.#stop(id);
      }
    }
    this.#settle();
  }

  #settle(): void {
    if (this.#unknown.size === 0) this.#options.settled?.();
  }

  #start(id: string): void {
    const { impression } = this.#options;
    if (!impression || this.#counted.has(id) || this.#timers.has(id) || document.visibilityState === "hidden") return;
    const timer = setTimeout(() => {
      this.#timers.delete(id);
      // What has left since is told of by now, or waits to be.
      this.#catchUp();
      if (!this.#half.has(id)) return;
      this.#counted.add(id);
      impression(id);
    }, IMPRESSION_MS);
    this.#timers.set(id, timer);
  }

  #stop(id: string): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }

  /** Nobody looks at a hidden page; the second begins anew when it is shown. */
  #turn(): void {
    if (document.visibilityState === "hidden") {
      for (const id of [...this.#timers.keys()]) this.#stop(id);
      this.#options.settled?.();
    } else {
      for (const id of this.#half) this.#start(id);
    }
  }

  #release(id: string): void {
    const element = this.#elementOf.get(id);
    if (!element) return;
    this.#observer?.unobserve(element);
    this.#elementOf.delete(id);
    this.#idOf.delete(element);
    this.#unknown.delete(element);
    this.#peeking.delete(id);
    this.#half.delete(id);
    this.#stop(id);
  }
}

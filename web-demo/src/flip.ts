const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * First, last, invert, play: runs `change`, which may put `items` in any order, and lets each glide from where it was.
 * Focus stays on the element that had it, which moving an element in the document would lose.
 */
export function glide(items: readonly HTMLElement[], change: () => void): void {
  const focused = document.activeElement;
  const before = new Map(items.map((item) => [item, item.getBoundingClientRect().top]));
  change();
  if (focused instanceof HTMLElement && focused !== document.activeElement && focused.isConnected) {
    focused.focus({ preventScroll: true });
  }
  if (calm.matches) return;
  for (const item of items) {
    const distance = before.get(item)! - item.getBoundingClientRect().top;
    if (Math.abs(distance) < 1) continue;
    item.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], {
      duration: 420,
      easing: "cubic-bezier(.2, .8, .2, 1)",
    });
  }
}

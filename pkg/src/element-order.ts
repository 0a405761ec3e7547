/** Where `moveBefore` is, an element that is moved keeps its focus, selection, scroll, frames and animations. */
type Mover = Element & { moveBefore?(node: Element, before: Node | null): void };

/**
 * Brings some children of an element into an order, with the fewest moves: the longest run that stands in order already is
 * not touched, so neither are leading children that stay. Other children stay before the child that they stand before,
 * and those at the end at the end. Gives the children that were moved.
 */
export function reorder(parent: Element, desired: readonly Element[]): Element[] {
  const place = new Map(Array.from(parent.children, (child, at) => [child, at]));
  const here = desired.filter((child) => place.has(child));
  const stay = longestRun(here.map((child) => place.get(child)!));
  const moved: Element[] = [];
  let before: Node | null = here.reduce<Element | null>((last, child) => (!last || place.get(child)! > place.get(last)! ? child : last), null);
  before = before?.nextSibling ?? null;
  for (let at = here.length - 1; at >= 0; at--) {
    const child = here[at]!;
    if (!stay.has(at)) {
      move(parent, child, before);
      moved.push(child);
    }
    before = child;
  }
  return moved;
}

function move(parent: Mover, child: Element, before: Node | null): void {
  try {
    if (parent.moveBefore && parent.isConnected) return parent.moveBefore(child, before);
  } catch {
    // What cannot be moved as it is can be put there anew.
  }
  parent.insertBefore(child, before);
}

/** The places in `numbers` of a longest rising run of them, not next to each other perforce. */
function longestRun(numbers: readonly number[]): Set<number> {
  // The last place of the best run of each length, and before each place the one before it in its run.
  const ends: number[] = [];
  const previous: number[] = [];
  numbers.forEach((number, at) => {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[ends[middle]!]! < number) low = middle + 1;
      else high = middle;
    }
    previous.push(ends[low - 1] ?? -1);
    ends[low] = at;
  });
  const run = new Set<number>();
  for (let at = ends.at(-1) ?? -1; at >= 0; at = previous[at]!) run.add(at);
  return run;
}

/**
 * The answer whenever there is none of the model, computed outside the wasm: frozen rows keep the place they have in the
 * order last given, every other place is filled in server order. Before a list's first model ranking the order last given
 * is the server's, so this is exactly the server's.
 */
export function serverOrder(last: Uint32Array, frozen: Uint8Array): Uint32Array {
  const order = new Uint32Array(last.length);
  let next = 0;
  for (let place = 0; place < order.length; place++) {
    if (frozen[last[place]!]) {
      order[place] = last[place]!;
      continue;
    }
    while (frozen[next]) next++;
    order[place] = next++;
  }
  return order;
}

/** Whether `order` leaves every frozen row where it stood in `last`. */
export function keepsFrozen(last: Uint32Array, order: Uint32Array, frozenCount: number, frozenRows: Uint32Array): boolean {
  if (frozenCount === 0) return true;
  const frozen = frozenFlags(last, frozenCount, frozenRows);
  return last.every((row, place) => !frozen[row] || order[place] === row);
}

/** A flag for each row: whether it is frozen, as one of the leading rows of `last` or by its own number. */
export function frozenFlags(last: Uint32Array, frozenCount: number, frozenRows: Uint32Array): Uint8Array {
  const frozen = new Uint8Array(last.length);
  for (const row of frozenCount < 0 ? frozenRows : last.subarray(0, frozenCount)) frozen[row] = 1;
  return frozen;
}

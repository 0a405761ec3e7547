// Counts linear memory: every one that is made or exported after `watchMemories` was called.

/** A function that gives the bytes of the largest linear memory so far. */
export function watchMemories() {
  const found = new Set();
  const Memory = WebAssembly.Memory;
  WebAssembly.Memory = class extends Memory {
    constructor(descriptor) {
      super(descriptor);
      found.add(this);
    }
  };
  const note = (instance) => {
    for (const value of Object.values(instance.exports)) if (value instanceof Memory) found.add(value);
    return instance;
  };
  const instantiate = WebAssembly.instantiate;
  WebAssembly.instantiate = async (...given) => {
    const result = await instantiate(...given);
    note(result.instance ?? result);
    return result;
  };
  const Instance = WebAssembly.Instance;
  WebAssembly.Instance = class extends Instance {
    constructor(...given) {
      super(...given);
      note(this);
    }
  };
  return () => Math.max(0, ...[...found].map(({ buffer }) => buffer.byteLength));
}

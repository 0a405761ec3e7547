/** A runtime with one exported function made to trap: its body becomes `unreachable`. Nothing else is changed. */
export function trapping(wasm: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
  const bytes = wasm.slice() as Uint8Array<ArrayBuffer>;
  const sections = new Map<number, Reader>();
  const reader = new Reader(bytes, 8, bytes.length);
  while (!reader.done) {
    const id = reader.byte();
    const size = reader.number();
    sections.set(id, reader.part(size));
  }
  const index = exported(sections.get(7)!, name) - importedFunctions(sections.get(2)!);
  const code = sections.get(10)!;
  code.number();
  for (let at = 0; at < index; at++) code.part(code.number());
  const body = code.part(code.number());
  // No locals, unreachable, and what is left as nops: after `unreachable` any type is right.
  bytes.fill(0x01, body.at, body.end);
  bytes[body.at] = 0x00;
  bytes[body.at + 1] = 0x00;
  bytes[body.end - 1] = 0x0b;
  return bytes;
}

/** The same, but the function traps only where its parameter of that index, a 64-bit float, is this value. */
export function trappingWhere(wasm: Uint8Array, name: string, parameter: number, value: number): Uint8Array<ArrayBuffer> {
  return rewritten(wasm, CODE, (code, sections) => {
    const index = exported(sections.get(7)!, name) - importedFunctions(sections.get(2)!);
    const count = code.number();
    const bodies = Array.from({ length: count }, () => [...code.part(code.number()).rest()]);
    const body = new Reader(Uint8Array.from(bodies[index]!), 0, bodies[index]!.length);
    for (let groups = body.number(); groups > 0; groups--) {
      body.number();
      body.byte();
    }
    const wanted = [...new Uint8Array(Float64Array.of(value).buffer)];
    // local.get, f64.const, f64.eq, if, unreachable, end.
    const check = [0x20, parameter, 0x44, ...wanted, 0x61, 0x04, 0x40, 0x00, 0x0b];
    bodies[index] = [...body.bytes.subarray(0, body.at), ...check, ...body.rest()];
    return [...leb(count), ...bodies.flatMap((one) => [...leb(one.length), ...one])];
  });
}

/** A runtime whose memory may have so many pages of 64 KiB, and no more. */
export function capped(wasm: Uint8Array, pages: number): Uint8Array<ArrayBuffer> {
  return rewritten(wasm, 5, (memory) => {
    const count = memory.number();
    memory.byte();
    return [...leb(count), 1, ...leb(memory.number()), ...leb(pages)];
  });
}

const CODE = 10;

/** The module with the content of one section as `make` gives it. */
function rewritten(wasm: Uint8Array, wanted: number, make: (section: Reader, sections: Map<number, Reader>) => number[]): Uint8Array<ArrayBuffer> {
  const bytes = wasm.slice() as Uint8Array<ArrayBuffer>;
  const reader = new Reader(bytes, 8, bytes.length);
  const found: [number, Reader][] = [];
  while (!reader.done) found.push([reader.byte(), reader.part(reader.number())]);
  const sections = new Map(found);
  const parts: number[][] = [[...bytes.subarray(0, 8)]];
  for (const [id, section] of found) {
    const content = id === wanted ? make(section, sections) : [...section.rest()];
    parts.push([id, ...leb(content.length)], content);
  }
  return Uint8Array.from(parts.flat());
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

const FUNCTION = 0;
const TABLE = 1;
const MEMORY = 2;

function exported(section: Reader, wanted: string): number {
  for (let left = section.number(); left > 0; left--) {
    const name = section.text();
    const kind = section.byte();
    const index = section.number();
    if (kind === FUNCTION && name === wanted) return index;
  }
  throw new Error(`the wasm exports no ${wanted}`);
}

function importedFunctions(section: Reader): number {
  let count = 0;
  for (let left = section.number(); left > 0; left--) {
    section.text();
    section.text();
    const kind = section.byte();
    if (kind === FUNCTION) count += 1;
    if (kind === TABLE) section.byte();
    if (kind === TABLE || kind === MEMORY) section.limits();
    else section.number();
  }
  return count;
}

class Reader {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** What is left of it. */
  rest(): Uint8Array {
    return this.bytes.subarray(this.at, this.end);
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    return this.bytes[this.at++]!;
  }

  /** An unsigned LEB128. */
  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  text(): string {
    const { at, end } = this.part(this.number());
    return new TextDecoder().decode(this.bytes.subarray(at, end));
  }

  limits(): void {
    const most = this.byte() & 1;
    this.number();
    if (most) this.number();
  }

  part(size: number): Reader {
    const part = new Reader(this.bytes, this.at, this.at + size);
    this.at += size;
    return part;
  }
}

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

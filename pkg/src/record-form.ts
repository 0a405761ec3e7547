// The compact form of a record: docs/records.md has the layout. The engine writes decisions in it; what is written here is
// what no engine knows of.
import { RankletError } from "./reasons.js";

const MAGIC = 0xb5;
const VERSION = 1;

export const DECISION = 0;
export const EXPOSURE = 1;
export const OUTCOME = 2;

/** Writes one record. */
export class Writer {
  readonly #body: number[] = [];

  varint(x: number): void {
    for (; x >= 128; x = Math.floor(x / 128)) this.#body.push((x % 128) | 128);
    this.#body.push(x);
  }

  real(x: number): void {
    const bits = new DataView(new ArrayBuffer(8));
    bits.setFloat64(0, x, true);
    // One NaN, whatever bits this one has.
    if (Number.isNaN(x)) bits.setBigUint64(0, 0x7ff8n << 48n, true);
    for (let at = 0; at < 8; at++) this.#body.push(bits.getUint8(at));
  }

  hex(digits: string): void {
    const pairs = digits.match(/../g) ?? [];
    this.varint(pairs.length);
    this.bytes(pairs.map((pair) => parseInt(pair, 16)));
  }

  bytes(bytes: Iterable<number>): void {
    for (const byte of bytes) this.#body.push(byte);
  }

  /** A text after its length in bytes; `more` is added to the length. */
  text(text: string, more = 0): void {
    const bytes = new TextEncoder().encode(text);
    this.varint(bytes.length + more);
    this.bytes(bytes);
  }

  /** A column of whole numbers: 0 where all are `absent`, 1 and the number where all are alike, else 2 and each. */
  column(values: readonly number[], absent: number): void {
    const alike = values.every((value) => value === values[0]);
    const first = values[0] ?? absent;
    if (alike) this.varint(first === absent ? 0 : 1);
    else this.varint(2);
    if (!alike) values.forEach((value) => this.varint(value));
    else if (first !== absent) this.varint(first);
  }

  finish(kind: number): Uint8Array<ArrayBuffer> {
    const head = new Writer();
    head.bytes([MAGIC, VERSION, kind]);
    head.varint(this.#body.length);
    head.bytes(this.#body);
    return Uint8Array.from(head.#body);
  }
}

/** Reads records that stand one after the other. Throws a coded error, or the view's own where it ends too soon. */
export class Reader {
  readonly #view: DataView;
  #at = 0;
  #end: number;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.byteLength;
  }

  get done(): boolean {
    return this.#at === this.#end;
  }

  /** Reads one record with `read`, which is told its kind, and sees that nothing of it is left. */
  frame<T>(read: (kind: number) => T): T {
    if (this.byte() !== MAGIC) throw bad("it does not begin as a record does");
    const version = this.byte();
    if (version !== VERSION) throw bad(`version ${version}, where this reads ${VERSION}`);
    const kind = this.byte();
    const outer = this.#end;
    const length = this.varint();
    const end = this.#at + length;
    if (end > outer) throw bad("it ends too soon");
    this.#end = end;
    const value = read(kind);
    if (this.#at !== end) throw bad("its length is another");
    this.#end = outer;
    return value;
  }

  byte(): number {
    return this.#view.getUint8(this.#take(1));
  }

  varint(): number {
    let x = 0;
    for (let shift = 0; shift < 56; shift += 7) {
      const byte = this.byte();
      x += (byte & 127) * 2 ** shift;
      if (byte < 128) return x;
    }
    throw bad("a whole number is too large");
  }

  real(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** Eight bytes as a whole number. */
  whole(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  word(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  single(): number {
    return this.#view.getFloat32(this.#take(4), true);
  }

  /** Bytes after their number, as hex digits. */
  hex(): string {
    let text = "";
    for (let left = this.varint(); left > 0; left--) text += this.byte().toString(16).padStart(2, "0");
    return text;
  }

  text(length = this.varint()): string {
    const at = this.#take(length);
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, length),
    );
  }

  column<T>(n: number, absent: T, one: () => T): T[] {
    const code = this.byte();
    if (code > 2) throw bad(`a column begins with ${code}`);
    if (code === 2) return Array.from({ length: n }, one);
    return Array<T>(n).fill(code === 1 ? one() : absent);
  }

  wholes(n: number, absent: number): number[] {
    return this.column(n, absent, () => this.varint());
  }

  reals(n: number, absent: number): number[] {
    return this.column(n, absent, () => this.real());
  }

  /** Rows of f32, each as the hex digits of its bits, the highest first. */
  rows(n: number, width: number): string[] {
    const before = Array<string>(width).fill("00000000");
    return Array.from({ length: n }, () => {
      const mask = this.#take(Math.ceil(width / 8));
      for (let column = 0; column < width; column++) {
        if ((this.#view.getUint8(mask + (column >> 3)) >> (column & 7)) & 1) {
          before[column] = this.#view.getUint32(this.#take(4), true).toString(16).padStart(8, "0");
        }
      }
      return before.join("");
    });
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#end) throw bad("it ends too soon");
    this.#at += count;
    return at;
  }
}

export function bad(message: string): RankletError {
  return new RankletError("request_invalid", `not a record: ${message}`);
}

// The compact form of a record: docs/records.md has the layout. The engine writes the model's decisions in it; what is
// written here is what no engine knows of.
import { RankletError } from "./reasons.js";

const MAGIC = 0xb5;
const VERSION = 1;

// How a value is written. Whole numbers, of which names are the bits, have 7 bits a byte.
export const WHOLE = 0;
export const REAL = 1;
const SINGLE = 2;
export const TEXT = 3;
export const HEX = 4;
export const NAMES = 5;
const LONG = 6;
const ROW = 7;

/** Writes one record. */
export class Writer {
  readonly #body: number[] = [];

  varint(x: number): void {
    for (; x > 127; x = Math.floor(x / 128)) this.#body.push((x % 128) | 128);
    this.#body.push(x);
  }

  #value(how: number, value: string | number): void {
    if (typeof value !== "string") {
      if (how === REAL) this.#body.push(...new Uint8Array(Float64Array.of(value).buffer));
      else this.varint(value);
      return;
    }
    const bytes = how === HEX ? (value.match(/../g) ?? []).map((pair) => parseInt(pair, 16)) : new TextEncoder().encode(value);
    this.varint(bytes.length);
    for (const byte of bytes) this.#body.push(byte);
  }

  /** A field of the whole record, if there is a value. */
  field(field: number, how: number, value: string | number | null): void {
    if (value === null) return;
    this.#body.push(field, how * 2);
    this.#value(how, value);
  }

  /** A field of each item: one value where all are alike, none where they are 0; a text for each in any case. */
  column(field: number, how: number, values: readonly (string | number)[]): void {
    if (how !== TEXT && values.every((value) => value === values[0])) {
      this.field(field, how, values[0] || null);
      return;
    }
    this.#body.push(field, how * 2 + 1);
    for (const value of values) this.#value(how, value);
  }

  finish(kind: number): Uint8Array<ArrayBuffer> {
    const head = new Writer();
    head.varint(this.#body.length);
    return Uint8Array.from([MAGIC, VERSION, kind, ...head.#body].concat(this.#body));
  }
}

/** A value as JSON has it; null: missing. */
export type Value = string | number | string[] | null;

/** Reads records that stand one after the other. Throws a coded error. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Reads one record with `read`, which is told its kind. */
  frame<T>(read: (kind: number) => T): T {
    const { kind, end } = this.head();
    const value = read(kind);
    if (this.#at !== end) throw bad("its length is another");
    return value;
  }

  /** What a record begins with: its kind, and where it ends. */
  head(): { kind: number; end: number } {
    const at = this.#take(3);
    const [magic, version, kind] = this.#bytes.subarray(at, at + 3) as unknown as [number, number, number];
    if (magic !== MAGIC || version !== VERSION) throw bad("it does not begin as one of this version does");
    const length = this.varint();
    return { kind, end: this.#at + length };
  }

  varint(): number {
    let x = 0;
    let byte;
    let scale = 1;
    do {
      byte = this.#bytes[this.#take(1)]!;
      x += (byte & 127) * scale;
      scale *= 128;
    } while (byte > 127);
    return x;
  }

  /** Hands each value of the fields of `n` items over, up to their end; what is missing is null. */
  fields(n: number, names: (bits: number) => string[], give: (item: number, field: number, value: Value) => void): void {
    for (let field; (field = this.varint()) > 0; ) {
      const how = this.varint();
      const kind = how >> 1;
      if (kind === ROW) {
        this.#rows(n, (item, row) => give(item, field, row));
        continue;
      }
      let value: Value = null;
      for (let item = 0; item < n; item++) {
        if (item === 0 || how % 2 === 1) value = this.#value(kind, names);
        give(item, field, value);
      }
    }
  }

  #value(kind: number, names: (bits: number) => string[]): Value {
    switch (kind) {
      case WHOLE:
        return this.varint();
      case REAL:
        return real(this.#view.getFloat64(this.#take(8), true));
      case SINGLE:
        return real(this.#view.getFloat32(this.#take(4), true));
      case TEXT:
        return this.#text();
      case HEX:
        return Array.from(this.#sized(), (byte) => hex(byte, 2)).join("");
      case NAMES:
        return names(this.varint());
      case LONG: {
        const whole = this.#view.getBigUint64(this.#take(8), true);
        return whole < 2n ** 53n ? Number(whole) : String(whole);
      }
      case ROW + 1:
        return Array.from({ length: Math.min(this.varint(), this.#bytes.length) }, () => this.#text());
    }
    throw bad("a field is written in a way that is not known");
  }

  /** Rows of 32 bits a column, each as their hex digits, the highest first. */
  #rows(n: number, give: (item: number, row: string) => void): void {
    const width = this.varint();
    if (width > 65_536) throw bad("a row is too wide");
    const row = Array<string>(width).fill("00000000");
    for (let item = 0; item < n; item++) {
      const mask = this.#take(Math.ceil(width / 8));
      for (let column = 0; column < width; column++) {
        if ((this.#bytes[mask + (column >> 3)]! >> (column & 7)) & 1) row[column] = hex(this.#view.getUint32(this.#take(4), true), 8);
      }
      give(item, row.join(""));
    }
  }

  #text(): string {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.#sized());
  }

  #sized(): Uint8Array {
    const length = this.varint();
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw bad("it ends too soon");
    this.#at += count;
    return at;
  }
}

function hex(x: number, digits: number): string {
  return x.toString(16).padStart(digits, "0");
}

function real(x: number): Value {
  if (Number.isNaN(x)) return null;
  if (Math.abs(x) === Infinity) return x > 0 ? "inf" : "-inf";
  return Object.is(x, -0) ? "-0" : x;
}

export function bad(message: string): RankletError {
  return new RankletError("request_invalid", `not a record: ${message}`);
}

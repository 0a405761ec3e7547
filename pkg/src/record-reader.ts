import { HEX, LONG, MAGIC, NAMES, REAL, ROW, SINGLE, TEXT, VERSION, WHOLE } from "./record-form.js";
import { RankletError } from "./reasons.js";

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

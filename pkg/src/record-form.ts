// The compact form of a record: docs/records.md has the layout. The engine writes the model's decisions in it; what is
// written here is what no engine knows of.

export const MAGIC = 0xb5;
export const VERSION = 1;

// How a value is written. Whole numbers, of which names are the bits, have 7 bits a byte.
export const WHOLE = 0;
export const REAL = 1;
export const SINGLE = 2;
export const TEXT = 3;
export const HEX = 4;
export const NAMES = 5;
export const LONG = 6;
export const ROW = 7;

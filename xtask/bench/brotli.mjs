// Brotli bytes of files, each compressed by itself, as `cargo xtask size` does it: node brotli.mjs FILE...
import { readFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 };
const sizes = process.argv.slice(2).map((file) => brotliCompressSync(readFileSync(file), { params }).length);
process.stdout.write(`${sizes.reduce((sum, size) => sum + size, 0)}\n`);

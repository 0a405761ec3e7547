// Loaded before anything else by `wasmtime-host.py`: from here on `WebAssembly` is Wasmtime in the process that started this one.
// As much of it as an engine's instance needs; what is not here does not run by any other means either.
import { readSync, writeSync } from "node:fs";

const [from, to] = process.env.WASMTIME_PIPES.split(" ").map(Number);
const CHUNK = 4096;
const { CompileError, LinkError, RuntimeError } = globalThis.WebAssembly;

/** JavaScript's values by the numbers that stand for them in Wasmtime; null is null there too. */
const values = [];
const scratch = new DataView(new ArrayBuffer(8));
const instances = [];
/** What imported functions threw and wasm has not passed on yet. */
const thrown = [];

const hex = (bytes) => Buffer.from(scratch.buffer, 0, bytes).toString("hex");

const toWire = {
  i32: (value) => Number(value) | 0,
  i64: (value) => BigInt.asIntN(64, BigInt(value)).toString(),
  f32: (value) => (scratch.setFloat32(0, Number(value)), hex(4)),
  f64: (value) => (scratch.setFloat64(0, Number(value)), hex(8)),
  externref: (value) => (value === null ? null : values.push(value) - 1),
};

const bytesOf = (text) => Buffer.from(text, "hex").copy(Buffer.from(scratch.buffer));

const fromWire = {
  i32: (value) => value,
  i64: (value) => BigInt(value),
  f32: (value) => (bytesOf(value), scratch.getFloat32(0)),
  f64: (value) => (bytesOf(value), scratch.getFloat64(0)),
  externref: (value) => (value === null ? null : values[value]),
};

function read(length) {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const got = readSync(from, bytes, at, length - at, null);
    if (got === 0) throw new Error("Wasmtime's process ended");
    at += got;
  }
  return bytes;
}

function write(bytes) {
  for (let at = 0; at < bytes.length; ) at += writeSync(to, bytes, at);
}

function send(message, blob = Buffer.alloc(0)) {
  const text = Buffer.from(JSON.stringify(message));
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32LE(text.length, 0);
  lengths.writeUInt32LE(blob.length, 4);
  write(Buffer.concat([lengths, text, blob]));
}

/** The answer to what was asked; on the way to it, wasm calls what it imports. */
function answer() {
  while (true) {
    const lengths = read(8);
    const message = JSON.parse(read(lengths.readUInt32LE(0)).toString());
    const blob = read(lengths.readUInt32LE(4));
    // A memory that was just made has nobody yet who holds it.
    if (message.op === "done" && "number" in message) instances[message.number] = { memory: new Memory(), imports: [] };
    const instance = instances[message.instance ?? message.number ?? asked.at(-1)];
    if ("length" in message) instance.memory.take(message, blob);
    if (message.op === "import") called(message, instance);
    else if (message.op === "thrown") throw thrown.pop();
    else if (message.op === "trapped") throw new RuntimeError(message.message);
    else return message;
  }
}

function called({ instance: number, index, args }, instance) {
  const { run, params, results } = instance.imports[index];
  let reply;
  try {
    const given = run(...args.map((value, at) => fromWire[params[at]](value)));
    const all = results.length > 1 ? [...given] : [given];
    reply = { op: "return", values: results.map((kind, at) => toWire[kind](all[at])) };
  } catch (error) {
    thrown.push(error);
    reply = { op: "throw" };
  }
  send(...instance.memory.tell({ ...reply, instance: number }));
}

/** Instances that are being called, the innermost last. */
const asked = [];

function ask(number, message) {
  asked.push(number);
  try {
    send(...instances[number].memory.tell({ ...message, instance: number }));
    return answer();
  } finally {
    asked.pop();
  }
}

class Memory {
  buffer = new ArrayBuffer(0);
  #seen = Buffer.alloc(0);

  /** What wasm wrote. A memory that grew detaches its buffer, as the real one does. */
  take({ length, chunks }, blob) {
    if (length !== this.buffer.byteLength) {
      const grown = new ArrayBuffer(length);
      new Uint8Array(grown).set(new Uint8Array(this.buffer));
      structuredClone(this.buffer, { transfer: [this.buffer] });
      this.buffer = grown;
    }
    const all = Buffer.from(this.buffer);
    chunks.forEach((chunk, at) => blob.copy(all, chunk * CHUNK, at * CHUNK, (at + 1) * CHUNK));
    this.#seen = Buffer.from(all);
  }

  /** A message with what JavaScript wrote. */
  tell(message) {
    const all = Buffer.from(this.buffer);
    const chunks = [];
    if (!all.equals(this.#seen)) {
      for (let chunk = 0; chunk * CHUNK < all.length; chunk++) {
        const [start, end] = [chunk * CHUNK, (chunk + 1) * CHUNK];
        if (!all.subarray(start, end).equals(this.#seen.subarray(start, end))) chunks.push(chunk);
      }
      this.#seen = Buffer.from(all);
    }
    return [{ ...message, chunks }, Buffer.concat(chunks.map((chunk) => all.subarray(chunk * CHUNK, (chunk + 1) * CHUNK)))];
  }
}

class Table {
  #ask;

  constructor(number, name) {
    this.#ask = (op, ...args) => ask(number, { op, name, args }).values[0];
  }

  get length() {
    return this.#ask("size");
  }

  get(index) {
    return fromWire.externref(this.#ask("get", index));
  }

  set(index, value) {
    this.#ask("set", index, toWire.externref(value));
  }

  grow(by, value) {
    return this.#ask("grow", by, toWire.externref(value));
  }
}

class Module {
  constructor(bytes) {
    send({ op: "module" }, Buffer.from(bytes.buffer ?? bytes, bytes.byteOffset, bytes.byteLength));
    const { op, message, module, imports } = answer();
    if (op === "failed") throw new CompileError(message);
    this.number = module;
    this.imports = imports;
  }
}

class Instance {
  constructor(module, imports = {}) {
    const wanted = module.imports.map(({ module: from, name, ...types }) => {
      const run = imports[from]?.[name];
      if (typeof run !== "function") throw new LinkError(`${from} ${name} is no function`);
      return { run, ...types };
    });
    send({ op: "instantiate", module: module.number });
    const { number, exports } = answer();
    instances[number].imports = wanted;
    this.exports = Object.freeze(Object.fromEntries(Object.entries(exports).map(([name, of]) => [name, exported(number, name, of)])));
  }
}

function exported(number, name, { kind, params, results }) {
  if (kind === "memory") return instances[number].memory;
  if (kind === "table") return new Table(number, name);
  return (...args) => {
    const given = params.map((kind, at) => toWire[kind](args[at]));
    const answered = ask(number, { op: "call", name, args: given }).values;
    const all = results.map((kind, at) => fromWire[kind](answered[at]));
    return results.length > 1 ? all : all[0];
  };
}

function validate(bytes) {
  send({ op: "validate" }, Buffer.from(bytes));
  return answer().valid;
}

globalThis.WebAssembly = {
  CompileError, LinkError, RuntimeError, Module, Instance, validate,
  compile: async (bytes) => new Module(bytes),
  instantiate: async (module, imports) => new Instance(module, imports),
};

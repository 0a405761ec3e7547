import type { Engine, Room, Tensor, TensorInfo, Tensors } from "./engine.js";
import { Host, type Running } from "./host.js";
import type { Platform, WasmInput } from "./load.js";
import { RankletError, failure } from "./reasons.js";
import type { BytesSource } from "./types.js";

export interface ScorerOptions {
  bundle: BytesSource | Promise<BytesSource>;
  wasm?: WasmInput;
  /** Default 15,000; 0 waits for ever. */
  loadTimeoutMs?: number;
}

/** Scores alone, by the model's own input and output names. Every method throws a `RankletError` where it fails. */
export class Scorer {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly #host: Host;
  readonly #ports: Ports;

  /** @internal */
  constructor(host: Host) {
    this.#host = host;
    const { inputs, outputs } = host.running!.info;
    // What a caller does with its own must not move where memory is written.
    const copies = (ports: TensorInfo[]) => ports.map((port) => ({ ...port, dims: [...port.dims] }));
    this.inputs = copies(inputs);
    this.outputs = copies(outputs);
    this.#ports = portsOf({ inputs, outputs });
  }

  /** Every graph output under its own name, type and shape. The results are copies. */
  score(inputs: Tensors): Tensors {
    const ports = this.#ports;
    const rows = new Rows();
    const arrays = read(ports, ports.every, inputs, rows) as Tensor["data"][];
    return scored(this.#host, ports, ports.every, arrays, 0, rows.count ?? 1);
  }

  /** Computes what depends on these inputs alone; `score` then takes the others. */
  prepare(candidateInputs: Tensors): PreparedScorer {
    return new PreparedScorer(this.#host, this.#ports, candidateInputs);
  }

  dispose(): void {
    this.#host.dispose();
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Candidates kept for several contexts. */
export class PreparedScorer {
  readonly #host: Host;
  readonly #ports: Ports;
  /** Inputs that each call takes, and those that do not change, by number. */
  readonly #open: readonly number[];
  readonly #given: readonly number[];
  /** Of the inputs that do not change. The caller may use its own arrays again. */
  readonly #kept: readonly Tensor["data"][];
  readonly #rows: number | undefined;
  #running: Running | undefined;
  #handle = 0;

  /** @internal */
  constructor(host: Host, ports: Ports, given: Tensors) {
    const rows = new Rows();
    const arrays = read(ports, ports.every, given, rows, true);
    this.#host = host;
    this.#ports = ports;
    this.#open = ports.every.filter((i) => arrays[i] === undefined);
    this.#given = ports.every.filter((i) => arrays[i] !== undefined);
    this.#kept = this.#given.map((i) => arrays[i]!);
    this.#rows = rows.count;
    // What is wrong with the inputs is told here and not at the first score.
    this.#ready();
  }

  score(contextInputs: Tensors): Tensors {
    const rows = new Rows(this.#rows);
    const arrays = read(this.#ports, this.#open, contextInputs, rows) as Tensor["data"][];
    return scored(this.#host, this.#ports, this.#open, arrays, this.#ready(), rows.count ?? 1);
  }

  dispose(): void {
    this.#host.disown(this);
    const [running, handle] = [this.#running, this.#handle];
    this.#running = undefined;
    if (running) this.#host.release(running, (engine) => engine.score_free(handle));
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The handle in the engine that runs now: one that came after a trap is given the inputs anew. */
  #ready(): number {
    const running = this.#host.running;
    if (this.#running === undefined || this.#running !== running) {
      const handle = this.#host.call((engine) => {
        write(engine, this.#ports, this.#given, this.#kept, this.#rows ?? 1);
        return engine.score_prepare(Uint32Array.from(this.#given), this.#rows ?? -1);
      });
      this.#host.disown(this);
      if (running) this.#host.adopt(this, running, (engine: Engine) => engine.score_free(handle));
      [this.#running, this.#handle] = [running, handle];
    }
    return this.#handle;
  }
}

/** Rejects with a `RankletError` whose `code` is a reason. */
export async function openScorer(options: ScorerOptions, platform: Platform): Promise<Scorer> {
  const { bundle, wasm, loadTimeoutMs = 15_000 } = options;
  const host = new Host({ bundle, wasm, loadTimeoutMs, clock: () => Date.now() }, platform);
  const { reason, detail } = await host.ready;
  if (reason !== null) {
    host.dispose();
    throw new RankletError(reason, detail);
  }
  return new Scorer(host);
}

/** What a model takes and gives. */
interface Ports {
  inputs: readonly TensorInfo[];
  outputs: readonly TensorInfo[];
  /** Every input's number. */
  every: readonly number[];
  /** The results without their values: a name may be one that an object has already. */
  blank: Tensors;
}

function portsOf({ inputs, outputs }: Pick<Ports, "inputs" | "outputs">): Ports {
  return { inputs, outputs, every: [...inputs.keys()], blank: Object.fromEntries(outputs.map(({ name }) => [name, undefined as never])) };
}

/** The one number of candidates that all inputs agree on. */
class Rows {
  constructor(public count?: number) {}

  agree(name: string, count: number): void {
    this.count ??= count;
    if (this.count !== count) throw mismatch(`input ${name} has ${count} rows, another has ${this.count}`);
  }
}

/** Of any typed array, whatever its class says of itself: what is asked while the engine runs is no code of the caller's. */
const lengthOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), "length")!.get!;

const ARRAYS = { f32: Float32Array, i32: Int32Array, i64: BigInt64Array, bool: Uint8Array };
const dtypeOf = ({ dtype }: TensorInfo) => dtype as keyof typeof ARRAYS;

/**
 * The arrays of the inputs `wanted`, in their order, each found to fit; where `some` are enough copies of them, undefined for
 * one that is missing. Whatever is the caller's own code runs here: none of it may run while the engine's memory is in use.
 */
function read({ inputs }: Ports, wanted: readonly number[], given: Tensors, rows: Rows, some?: boolean): (Tensor["data"] | undefined)[] {
  try {
    return wanted.map((i) => {
      const port = inputs[i]!;
      const tensor = given[port.name];
      if (tensor !== undefined) {
        const data = dataOf(port, tensor, rows);
        return some ? new ARRAYS[dtypeOf(port)](data as never) : data;
      }
      if (some) return undefined;
      throw mismatch(`input ${port.name} is missing; these are taken: ${wanted.map((i) => inputs[i]!.name).join(", ")}`);
    });
  } catch (thrown) {
    throw failure(thrown, "request_invalid");
  }
}

function dataOf({ name, dtype, dims: wanted }: TensorInfo, { data, dims }: Tensor, rows: Rows): Tensor["data"] {
  const type =
    data instanceof Float32Array ? "f32"
    : data instanceof Int32Array ? "i32"
    : data instanceof BigInt64Array ? "i64"
    : data instanceof Uint8Array ? "bool"
    : invalid(name, "data is no Float32Array, Int32Array, BigInt64Array or Uint8Array");
  if (!Array.isArray(dims)) invalid(name, "dims are not sizes");
  let length = 1;
  let count: number | undefined;
  let fits = dims.length === wanted.length;
  for (let axis = 0; axis < dims.length; axis++) {
    const size = dims[axis] as number;
    if (!Number.isInteger(size) || size < 0) invalid(name, "dims are not sizes");
    length *= size;
    if (wanted[axis]! < 0) count ??= size;
    else fits &&= size === wanted[axis];
  }
  if (length !== data.length) invalid(name, "dims do not multiply to the length of data");
  if (!fits) throw mismatch(`input ${name} is [${wanted.map((size) => (size < 0 ? "N" : size)).join(", ")}], got [${dims.join(", ")}]`);
  if (count !== undefined) rows.agree(name, count);
  if (type !== dtype) throw mismatch(`input ${name} takes elements of ${dtype}`);
  return data;
}

function invalid(name: string, what: string): never {
  throw new RankletError("request_invalid", `input ${name}: ${what}`);
}

function mismatch(message: string): RankletError {
  return new RankletError("schema_mismatch", message);
}

function sizeOf(dims: readonly number[], rows: number): number {
  let size = 1;
  for (const dim of dims) size *= dim < 0 ? -dim * rows : dim;
  return size;
}

/** The engine's arrays for `rows` candidates at least. */
function roomOf(engine: Engine, { inputs, outputs }: Ports, rows: number): Room {
  const kept = engine.room;
  if (kept && kept.rows >= rows && kept.addresses.length > 0) return kept;
  const many = Math.max(rows, kept?.rows ?? 1);
  const ports = [...inputs, ...outputs];
  // Should there be none, some of the arrays may have moved.
  delete engine.room;
  const address = engine.score_room(many);
  const { buffer } = engine.memory();
  const addresses = new Uint32Array(buffer, address, ports.length);
  const views = ports.map((port, i) => new ARRAYS[dtypeOf(port)](buffer, addresses[i], sizeOf(port.dims, many)));
  return (engine.room = { rows: many, views, addresses });
}

/** Copies the arrays of the inputs `wanted` to where the engine reads them. */
function write(engine: Engine, ports: Ports, wanted: readonly number[], arrays: readonly Tensor["data"][], rows: number): void {
  const { views } = roomOf(engine, ports, rows);
  for (let i = 0; i < wanted.length; i++) {
    const { name, dims } = ports.inputs[wanted[i]!]!;
    const array = arrays[i]!;
    // A getter of a later one may have taken its elements away.
    const length = lengthOf.call(array) as number;
    if (length !== sizeOf(dims, rows)) invalid(name, "data changed while it was read");
    if (length > 0) views[wanted[i]!]!.set(array as never);
  }
}

/** What the engine makes of the arrays of the inputs `open`. */
function scored(host: Host, ports: Ports, open: readonly number[], arrays: readonly Tensor["data"][], handle: number, rows: number): Tensors {
  const results = { ...ports.blank };
  host.call((engine) => {
    write(engine, ports, open, arrays, rows);
    engine.score(handle, rows);
    // Its memory may have grown since.
    const { views } = roomOf(engine, ports, rows);
    let at = ports.inputs.length;
    for (const { name, dims } of ports.outputs) {
      const data = views[at++]!.slice(0, sizeOf(dims, rows));
      results[name] = { data, dims: dims.map((dim) => (dim < 0 ? -dim * rows : dim)) };
    }
  });
  return results;
}

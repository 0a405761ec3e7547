import type { Engine, Tensor, TensorInfo, Tensors } from "./engine.js";
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

  /** @internal */
  constructor(host: Host) {
    this.#host = host;
    const { inputs, outputs } = host.call((engine) => engine.scorer_info());
    this.inputs = inputs;
    this.outputs = outputs;
  }

  /** Every graph output under its own name, type and shape. The results are copies. */
  score(inputs: Tensors): Tensors {
    const rows = new Rows();
    // Read out first: a getter of the caller's must not run inside the engine.
    const data = read(this.inputs, inputs, rows);
    const many = rows.count ?? 1;
    return named(this.outputs, this.#host.call((engine) => engine.score(0, data, many)), many);
  }

  /** Computes what depends on these inputs alone; `score` then takes the others. */
  prepare(candidateInputs: Tensors): PreparedScorer {
    return new PreparedScorer(this.#host, this.inputs, this.outputs, candidateInputs);
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
  readonly #outputs: readonly TensorInfo[];
  /** Inputs that each call takes. */
  readonly #open: readonly TensorInfo[];
  /** By port; undefined for one that is open. The caller may use its own arrays again. */
  readonly #kept: readonly (Tensor["data"] | undefined)[];
  readonly #rows: number | undefined;
  #running: Running | undefined;
  #handle = 0;

  /** @internal */
  constructor(host: Host, inputs: readonly TensorInfo[], outputs: readonly TensorInfo[], given: Tensors) {
    const here = inputs.filter(({ name }) => property(given, name) !== undefined);
    const rows = new Rows();
    const arrays = read(here, given, rows);
    this.#host = host;
    this.#outputs = outputs;
    this.#open = inputs.filter((port) => !here.includes(port));
    this.#kept = inputs.map((port) => arrays[here.indexOf(port)]?.slice());
    this.#rows = rows.count;
    // What is wrong with the inputs is told here and not at the first score.
    this.#ready();
  }

  score(contextInputs: Tensors): Tensors {
    const rows = new Rows(this.#rows);
    const data = read(this.#open, contextInputs, rows);
    const many = rows.count ?? 1;
    const handle = this.#ready();
    return named(this.#outputs, this.#host.call((engine) => engine.score(handle, data, many)), many);
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
      const handle = this.#host.call((engine) => engine.score_prepare(this.#kept, this.#rows ?? -1));
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

/** The one number of candidates that all inputs agree on. */
class Rows {
  constructor(public count?: number) {}

  agree(name: string, count: number): void {
    this.count ??= count;
    if (this.count !== count) throw mismatch(`input ${name} has ${count} rows, another has ${this.count}`);
  }
}

/** The arrays of `ports` in their order, each found to fit. */
function read(ports: readonly TensorInfo[], inputs: Tensors, rows: Rows): Tensor["data"][] {
  return ports.map((port) => {
    const { name } = port;
    const tensor = property(inputs, name);
    if (tensor === undefined) throw mismatch(`input ${name} is missing; these are taken: ${ports.map((port) => port.name).join(", ")}`);
    const [data, dims] = [property(tensor, "data"), property(tensor, "dims")] as [Tensor["data"], unknown];
    const known =
      data instanceof Float32Array || data instanceof Int32Array || data instanceof BigInt64Array || data instanceof Uint8Array;
    if (!known) throw new RankletError("request_invalid", `input ${name}: data is no Float32Array, Int32Array, BigInt64Array or Uint8Array`);
    const sizes = whole(name, dims);
    if (sizes.reduce((product, size) => product * size, 1) !== data.length) {
      throw new RankletError("request_invalid", `input ${name}: dims do not multiply to the length of data`);
    }
    const fits = sizes.length === port.dims.length && port.dims.every((size, axis) => size < 0 || size === sizes[axis]);
    if (!fits) throw mismatch(`input ${name} is [${port.dims.map((size) => (size < 0 ? "N" : size)).join(", ")}], got [${sizes.join(", ")}]`);
    const axis = port.dims.findIndex((size) => size < 0);
    if (axis >= 0) rows.agree(name, sizes[axis]!);
    return data;
  });
}

function whole(name: string, dims: unknown): number[] {
  let sizes: number[] = [];
  try {
    sizes = Array.from(dims as ArrayLike<number>);
  } catch (thrown) {
    throw failure(thrown, "request_invalid");
  }
  if (!Array.isArray(dims) || !sizes.every((size) => Number.isInteger(size) && size >= 0)) {
    throw new RankletError("request_invalid", `input ${name}: dims are not sizes`);
  }
  return sizes;
}

/** A property of what a caller gave; anything that cannot be read is the caller's mistake. */
function property(of: unknown, name: string): unknown {
  try {
    return (of as Record<string, unknown>)[name];
  } catch (thrown) {
    throw failure(thrown, "request_invalid");
  }
}

function mismatch(message: string): RankletError {
  return new RankletError("schema_mismatch", message);
}

function named(ports: readonly TensorInfo[], arrays: Tensor["data"][], rows: number): Tensors {
  const size = (dim: number) => (dim < 0 ? -dim * rows : dim);
  return Object.fromEntries(ports.map(({ name, dims }, i) => [name, { data: arrays[i]!, dims: dims.map(size) }]));
}

import type { Tensor, TensorInfo, Tensors } from "./engine.js";
import { Host } from "./host.js";
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
    // Plain copies first: a getter of the caller's must not run inside the engine.
    const plain = plainTensors(inputs);
    return this.#host.call((engine) => engine.score(plain));
  }

  /** Keeps what depends on candidates alone; `score` then takes the other inputs. */
  prepare(candidateInputs: Tensors): PreparedScorer {
    const kept = plainTensors(candidateInputs);
    for (const tensor of Object.values(kept)) tensor.data = tensor.data.slice();
    return new PreparedScorer((contextInputs) => this.score({ ...kept, ...plainTensors(contextInputs) }));
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
  readonly #score: (contextInputs: Tensors) => Tensors;

  /** @internal */
  constructor(score: (contextInputs: Tensors) => Tensors) {
    this.#score = score;
  }

  score(contextInputs: Tensors): Tensors {
    return this.#score(contextInputs);
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

function plainTensors(inputs: Tensors): Tensors {
  try {
    return Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, plainTensor(name, tensor)]));
  } catch (thrown) {
    throw failure(thrown, "request_invalid");
  }
}

function plainTensor(name: string, { data, dims }: Tensor): Tensor {
  const known =
    data instanceof Float32Array || data instanceof Int32Array || data instanceof BigInt64Array || data instanceof Uint8Array;
  if (!known) throw new RankletError("request_invalid", `input ${name}: data is no Float32Array, Int32Array, BigInt64Array or Uint8Array`);
  const sizes = Array.from(dims);
  if (!sizes.every((size) => Number.isInteger(size) && size >= 0)) {
    throw new RankletError("request_invalid", `input ${name}: dims are not sizes`);
  }
  return { data, dims: sizes };
}

import { makeInstance } from "#engine";
import type { ColumnPlan } from "./columns.js";
import { planColumns } from "./columns.js";
import type { Engine, EngineInfo } from "./engine.js";
import { embedded } from "./embedded.js";
import { hashesOf } from "./hashes.js";
import { probe, quiet, readBytes, readModule, type Platform, type WasmInput } from "./load.js";
import { RankletError, coded, describe, failure, type Reason } from "./reasons.js";
import type { BundleInfo, BytesSource, Status } from "./types.js";

/** Traps within this many ms are counted together, and this many of them open the breaker. */
const BREAKER_MS = 60_000;
const BREAKER_TRAPS = 3;

export interface HostOptions {
  bundle: BytesSource | Promise<BytesSource> | undefined;
  wasm: WasmInput;
  loadTimeoutMs: number;
  clock: () => number;
}

/** Somebody in whose name the engine is called. */
export interface Caller {
  /** Told of a trap; true if it is this caller's own doing, which others do not pay for. */
  trapped(): boolean;
}

/** One engine over one bundle, made anew as a whole; `undefined` while there is none. */
export interface Running {
  engine: Engine;
  info: EngineInfo;
  plan: ColumnPlan;
}

/**
 * Owns the engine: loads it, guards every call into it, and makes a new one after a trap.
 * A wasm instance that trapped is never called again; whatever hung on it compares its `Running` by identity.
 */
export class Host {
  running: Running | undefined;
  /** Resolves when the first load ends or its time is over; never rejects. */
  readonly ready: Promise<Status>;
  /** Called when the engine came, changed or went. */
  readonly changed = new Set<() => void>();

  #reason: Reason = "loading";
  #detail = "";
  #module: WebAssembly.Module | undefined;
  /** And the host's hashes of it. */
  #bundle: [Uint8Array, Uint8Array] | undefined;
  #traps: number[] = [];
  #pending = true;
  #disposed = false;
  #settle!: () => void;
  readonly #clock: () => number;
  // Frees what the collector found abandoned: a list per server response is seldom disposed by hand.
  readonly #abandoned: FinalizationRegistry<() => void> | undefined;

  constructor(options: HostOptions | RankletError, platform: Platform) {
    this.ready = new Promise((resolve) => {
      this.#settle = () => resolve(this.status());
    });
    if (typeof FinalizationRegistry === "function") this.#abandoned = new FinalizationRegistry((free) => free());
    if (options instanceof RankletError) {
      this.#clock = () => 0;
      this.#fail(options);
      return;
    }
    this.#clock = options.clock;
    void this.#load(options, platform);
  }

  status(): Status {
    if (this.running) {
      return { source: "model", reason: null, detail: "", bundle: bundleInfo(this.running.info) };
    }
    return { source: "server", reason: this.#reason, detail: this.#detail, bundle: null };
  }

  /** Whether there may yet be an engine though there is none. */
  get mayCome(): boolean {
    return this.#pending && !this.running;
  }

  /** Calls the engine. A coded error of the engine is passed on; anything else it throws is a trap and ends it. */
  call<T>(use: (engine: Engine) => T, caller?: Caller): T {
    const running = this.running;
    if (!running) throw new RankletError(this.#reason, this.#detail);
    try {
      return use(running.engine);
    } catch (thrown) {
      throw coded(thrown) ?? this.#trapped(thrown, caller);
    }
  }

  /** Has `free` called on `running` when `owner` is collected, if that engine still runs then. */
  adopt(owner: object, running: Running, free: (engine: Engine) => void): void {
    this.#abandoned?.register(owner, () => this.release(running, free), owner);
  }

  /** Frees something of `running`, unless that engine is gone and took it along. */
  release(running: Running, free: (engine: Engine) => void): void {
    if (this.running !== running) return;
    try {
      this.call(free);
    } catch {
      // A trap has been dealt with; there is nobody to tell.
    }
  }

  disown(owner: object): void {
    this.#abandoned?.unregister(owner);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const running = this.running;
    if (running) this.release(running, (engine) => engine.free());
    this.#module = this.#bundle = undefined;
    this.#fail(new RankletError("disposed", "the reranker was disposed"));
  }

  async #load(options: HostOptions, platform: Platform): Promise<void> {
    const timer = this.#startTimer(options.loadTimeoutMs);
    const [wasm, bundle] = [quiet(options.wasm), options.bundle === undefined ? undefined : quiet(options.bundle)];
    try {
      const given = await wasm;
      probe(given, platform);
      const runtime = quiet(readModule(given, platform));
      const [module, hashed] = await Promise.all([runtime, this.#read(bundle, platform, runtime)]);
      if (this.#disposed) return;
      this.#module = module;
      this.#bundle = hashed;
      this.#instantiate();
    } catch (thrown) {
      if (!this.#disposed) this.#fail(failure(thrown, "wasm_fetch_failed"));
    } finally {
      clearTimeout(timer);
    }
  }

  /** The bundle's bytes are the host's own by now: they are hashed as the engine gets them. */
  async #read(source: Promise<BytesSource> | undefined, platform: Platform, runtime: Promise<WebAssembly.Module>): Promise<[Uint8Array, Uint8Array]> {
    const bytes = source ? await readBytes(source, platform, "bundle_fetch_failed") : embedded(await runtime);
    return [bytes, await hashesOf(bytes)];
  }

  #startTimer(ms: number): ReturnType<typeof setTimeout> | undefined {
    if (!(ms > 0 && ms < 2 ** 31)) return undefined;
    const late = () => {
      if (this.#reason === "loading" && !this.running) {
        this.#fail(new RankletError("load_timeout", `nothing was loaded after ${ms} ms`), true);
      }
    };
    try {
      const timer = setTimeout(late, ms);
      // In Node a pending load must not keep the process alive.
      (timer as { unref?: () => void }).unref?.();
      return timer;
    } catch {
      return undefined; // A worker's global scope has no timers.
    }
  }

  #instantiate(): void {
    let Constructor;
    try {
      Constructor = makeInstance(this.#module!).Engine;
    } catch (thrown) {
      throw new RankletError("wasm_invalid", describe(thrown));
    }
    try {
      const engine = new Constructor(...this.#bundle!);
      const info = engine.info();
      this.running = { engine, info, plan: planColumns(info.columns) };
    } catch (thrown) {
      throw coded(thrown) ?? new RankletError("trapped", describe(thrown));
    }
    this.#announce();
  }

  #trapped(thrown: unknown, caller: Caller | undefined): RankletError {
    const trap = new RankletError("trapped", describe(thrown));
    // First of all: the clock is the caller's code, and may come back here.
    this.running = undefined;
    const now = this.#clock();
    if (this.#disposed) return trap;
    this.#traps = this.#traps.filter((time) => now - time < BREAKER_MS);
    if (!caller?.trapped()) this.#traps.push(now);
    const open = this.#traps.length >= BREAKER_TRAPS;
    this.#fail(open ? new RankletError("trapped", `${trap.message}; trapped too often, not tried again`) : trap, !open);
    if (!open) queueMicrotask(() => this.#rebuild());
    return trap;
  }

  #rebuild(): void {
    if (this.#disposed || this.running) return;
    try {
      this.#instantiate();
    } catch (thrown) {
      this.#fail(failure(thrown, "trapped"));
    }
  }

  #fail(error: RankletError, pending = false): void {
    this.running = undefined;
    this.#pending = pending;
    this.#reason = error.code;
    this.#detail = error.message;
    this.#announce();
  }

  #announce(): void {
    this.#settle();
    for (const listener of [...this.changed]) listener();
  }
}

function bundleInfo(info: EngineInfo): BundleInfo {
  return {
    name: info.name,
    version: info.version,
    numerics: info.numerics,
    digests: { ...info.digests },
    heads: [...info.heads],
    signals: [...info.signals],
    sizeBytes: info.size_bytes,
    selfTestRows: info.self_test_rows,
  };
}

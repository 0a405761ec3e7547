import { makeInstance } from "#engine";
import { planColumns, type ColumnPlan } from "./columns.js";
import type { Delivery, Receiver } from "./delivery.js";
import { embedded } from "./embedded.js";
import type { Engine, EngineClass, EngineInfo } from "./engine.js";
import { hashesOf } from "./hashes.js";
import { probe, quiet, readBytes, readModule, type Platform, type WasmInput } from "./load.js";
import { RankletError, coded, describe, failure } from "./reasons.js";
import type { BundleInfo, BytesSource, Status } from "./types.js";

/** Traps within this many ms are counted together, and this many of them open the breaker. */
const BREAKER_MS = 60_000;
const BREAKER_TRAPS = 3;

export interface HostOptions {
  bundle?: BytesSource | Promise<BytesSource> | undefined;
  /** In place of `bundle`. */
  delivery?: Delivery | undefined;
  wasm: WasmInput;
  loadTimeoutMs: number;
  clock: () => number;
}

/** Somebody in whose name the engine is called. */
export interface Caller {
  /** Told of a trap; true if it is this caller's own doing, which others do not pay for. */
  trapped(): boolean;
}

/** One engine over one bundle, made anew as a whole. Whatever hangs on it compares it by identity. */
export interface Running {
  engine: Engine;
  info: EngineInfo;
  plan: ColumnPlan;
}

/** What an error says. An error itself holds on to its stack, and so to whoever's call it was. */
type Why = Pick<RankletError, "code" | "message">;

/** A bundle of the host's own, and the host's hashes of it. */
type Bundle = [Uint8Array, Uint8Array];

/**
 * Owns the engine: opens what is delivered, guards every call into it, and makes a new one after a trap. First load, hot swap
 * and rebuild are one path: an engine is opened beside the one that runs, if one does, and takes its place whole.
 */
export class Host implements Receiver {
  /** `undefined` while there is none. */
  running: Running | undefined;
  /** No engine will ever come: disposed, or switched off by option. */
  closed = false;
  /** Resolves when the first load ends or its time is over; never rejects. */
  readonly ready: Promise<Status>;
  /** Called when the engine came, changed or went. */
  readonly changed = new Set<() => void>();

  // Why there is no engine; the kill switch beats it.
  #error: Why = { code: "loading", message: "" };
  #off: Why | undefined;
  #pending = true;
  #module: Promise<WebAssembly.Module> | undefined;
  /** What runs, or would. */
  #bundle: Bundle | undefined;
  // Offers are numbered as they come; the newest that was taken stands.
  #offers = 0;
  #taken = 0;
  #traps: number[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #settle!: () => void;
  readonly #options: HostOptions | undefined;
  readonly #platform: Platform;
  // Frees what the collector found abandoned: a list per server response is seldom disposed by hand.
  readonly #abandoned: FinalizationRegistry<() => void> | undefined;

  constructor(options: HostOptions | RankletError, platform: Platform) {
    this.#platform = platform;
    this.ready = new Promise((resolve) => {
      this.#settle = () => resolve(this.status());
    });
    if (typeof FinalizationRegistry === "function") this.#abandoned = new FinalizationRegistry((free) => free());
    if (options instanceof RankletError) {
      this.closed = true;
      this.#fail(options);
      return;
    }
    this.#options = options;
    this.#startTimer(options.loadTimeoutMs);
    void this.#begin(options);
  }

  status(): Status {
    if (this.running) {
      return { source: "model", reason: null, detail: "", bundle: bundleInfo(this.running.info) };
    }
    const { code, message } = this.#why;
    return { source: "server", reason: code, detail: message, bundle: null };
  }

  /** Whether an engine is awaited. */
  get mayCome(): boolean {
    return this.#pending && !this.running;
  }

  get isOff(): boolean {
    return this.#off !== undefined;
  }

  get #why(): Why {
    return this.#off ?? this.#error;
  }

  /** Calls the engine. A coded error of the engine is passed on; anything else it throws is a trap and ends it. */
  call<T>(use: (engine: Engine) => T, caller?: Caller): T {
    const running = this.running;
    if (!running) throw errorOf(this.#why);
    try {
      return use(running.engine);
    } catch (thrown) {
      throw coded(thrown) ?? this.#trapped(running, thrown, caller);
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

  /** Bytes that are still to come have their turn from now on, whenever they come. */
  async offer(given: Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>>): Promise<BundleInfo> {
    const turn = ++this.#offers;
    const runtime = this.#runtime();
    const bytes = await given;
    const bundle: Bundle = [bytes, await hashesOf(bytes)];
    const module = await runtime;
    if (this.closed) throw errorOf(this.#error);
    if (turn < this.#taken) throw new RankletError("superseded", "a later bundle came first");
    const next = open(module, bundle);
    this.#taken = turn;
    this.#bundle = bundle;
    // What trapped was the bundle before.
    this.#traps = [];
    const info = bundleInfo(next.info);
    if (!this.#off) this.#install(next);
    return info;
  }

  /** Offers what is to be read. A bad one changes nothing but where there is none: then it is the reason. */
  async replace(source: BytesSource | Promise<BytesSource>): Promise<Status> {
    try {
      await this.offer(quiet(this.read(source)));
      return this.status();
    } catch (thrown) {
      const error = failure(thrown, "bundle_fetch_failed");
      this.refuse(error);
      return { ...this.status(), detail: `${error.code}: ${error.message}` };
    }
  }

  refuse(error: RankletError): void {
    if (!this.#bundle && !this.closed) this.#fail(error, this.#options!.delivery !== undefined);
  }

  disable(detail: string): void {
    if (this.closed) return;
    this.#off = { code: "disabled", message: detail };
    this.#install(undefined);
  }

  enable(): void {
    if (!this.#off) return;
    this.#off = undefined;
    this.#announce();
    if (this.#bundle) void this.#rebuild();
  }

  async read(source: BytesSource | Promise<BytesSource>): Promise<Uint8Array<ArrayBuffer>> {
    if (this.closed) throw errorOf(this.#error);
    return readBytes(source, this.#platform, "bundle_fetch_failed");
  }

  now(): number {
    return this.#options!.clock();
  }

  dispose(): void {
    if (this.closed) return;
    this.closed = true;
    this.#module = this.#bundle = this.#off = undefined;
    this.#error = { code: "disposed", message: "the reranker was disposed" };
    this.#pending = false;
    this.#install(undefined);
    try {
      this.#options!.delivery?.stop();
    } catch {
      // It is over either way.
    }
  }

  async #begin({ bundle, delivery, wasm }: HostOptions): Promise<void> {
    const source = quiet(bundle!);
    try {
      // What was given and failed is told where it is read.
      probe(await quiet(wasm).catch(() => undefined), this.#platform);
      if (this.closed) return;
      const runtime = this.#runtime();
      if (delivery) delivery.start(this);
      else void this.replace(bundle === undefined ? runtime.then(embedded) : source);
      await runtime;
    } catch (thrown) {
      this.refuse(failure(thrown, "bundle_fetch_failed"));
    }
  }

  /** Compiled once; a runtime that could not be had is asked for again with the next bundle. */
  #runtime(): Promise<WebAssembly.Module> {
    if (this.closed) throw errorOf(this.#error);
    return (this.#module ??= quiet(
      readModule(this.#options!.wasm, this.#platform).catch((thrown: unknown) => {
        this.#module = undefined;
        throw thrown;
      }),
    ));
  }

  #startTimer(ms: number): void {
    if (!(ms > 0 && ms < 2 ** 31)) return;
    const late = () => {
      if (this.#error.code === "loading" && !this.running) {
        this.#fail({ code: "load_timeout", message: `nothing was loaded after ${ms} ms` }, true);
      }
    };
    try {
      this.#timer = setTimeout(late, ms);
      // In Node a pending load must not keep the process alive.
      (this.#timer as { unref?: () => void }).unref?.();
    } catch {
      // A worker's global scope has no timers.
    }
  }

  #trapped(running: Running, thrown: unknown, caller: Caller | undefined): RankletError {
    const trap = trapOf(running.engine.constructor as EngineClass, thrown);
    // First of all: the clock is the caller's code, and may come back here.
    this.running = undefined;
    abandon(running);
    const now = this.now();
    if (this.closed || this.#off) return trap;
    // A clock that was set back must not make old traps new.
    this.#traps = this.#traps.filter((time) => Math.abs(now - time) < BREAKER_MS);
    if (!caller?.trapped()) this.#traps.push(now);
    const isOpen = this.#traps.length >= BREAKER_TRAPS;
    const message = isOpen ? `${trap.message}; trapped too often, not tried again` : trap.message;
    this.#fail({ code: trap.code, message }, !isOpen);
    if (!isOpen) void this.#rebuild();
    return trap;
  }

  async #rebuild(): Promise<void> {
    try {
      const module = await this.#runtime();
      if (this.#bundle && !this.#off && !this.running) this.#install(open(module, this.#bundle));
    } catch (thrown) {
      this.#fail(failure(thrown, "trapped"));
    }
  }

  #fail({ code, message }: Why, pending = false): void {
    this.#pending = pending;
    this.#error = { code, message };
    this.#announce();
  }

  /** At once for everybody: whoever asks next sees the one or the other. */
  #install(next: Running | undefined): void {
    const before = this.running;
    this.running = next;
    if (before) abandon(before);
    this.#announce();
  }

  #announce(): void {
    clearTimeout(this.#timer);
    this.#settle();
    for (const listener of [...this.changed]) listener();
  }
}

function errorOf({ code, message }: Why): RankletError {
  return new RankletError(code, message);
}

/** Opens a bundle in an instance of its own, self-test included. */
function open(module: WebAssembly.Module, bundle: Bundle): Running {
  let Constructor: EngineClass;
  try {
    Constructor = makeInstance(module).Engine;
  } catch (thrown) {
    throw new RankletError(thrown instanceof RangeError ? "out_of_memory" : "wasm_invalid", describe(thrown));
  }
  try {
    const engine = new Constructor(...bundle);
    const told = engine.info();
    const info = (SCORES_ALONE ? JSON.parse(told as string) : told) as EngineInfo;
    return { engine, info, plan: planColumns(info.columns) };
  } catch (thrown) {
    throw coded(thrown) ?? trapOf(Constructor, thrown);
  }
}

function trapOf(Constructor: EngineClass, thrown: unknown): RankletError {
  return new RankletError(Constructor.out_of_memory() ? "out_of_memory" : "trapped", describe(thrown));
}

/**
 * Lets go of an instance with all that it holds, which nothing in it needs to be told. Lists and sessions may keep a `Running`
 * for long after; they must not keep its linear memory.
 */
function abandon(running: Running): void {
  running.engine = undefined as never;
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

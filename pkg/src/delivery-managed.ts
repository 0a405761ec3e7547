import type { Delivery, Receiver } from "./delivery.js";
import { chosen, readChannel, sealChannel, type Channel, type ChannelBundle } from "./delivery-channel.js";
import { ask, inTime, resolved, type Answer } from "./delivery-fetch.js";
import { hex, sha256 } from "./delivery-hex.js";
import { Kept, type Good } from "./delivery-kept.js";
import type { DeliveryOptions, DeliveryState, ManagedDelivery, Problem } from "./delivery-options.js";
import { sealBundle, stated } from "./delivery-slots.js";
import { PinnedKeys } from "./delivery-verify.js";
import { Wake } from "./delivery-wake.js";
import { RankletError, failure } from "./reasons.js";

const TIMEOUT_MS = 10_000;

/** A bundle that is asked for: of a channel all of it is known beforehand. */
interface Wanted {
  url: URL | string;
  sha256?: string;
  version?: number;
}

/** A channel, and which of its bundles is for this unit. */
type Read = Channel & { entry: ChannelBundle | undefined };

/** What was refused for what it is, and so would be again. */
const FINAL = /^(bundle_(unsigned|signature|rollback|incompatible|corrupt)|self_test_failed)$/;

/** The delivery behind `createDelivery`: at most one bundle is loaded at a time; the kill switch waits for none. */
export class Managed implements Delivery, ManagedDelivery {
  readonly #options: DeliveryOptions;
  #to: Receiver | undefined;
  #keys: PinnedKeys | null = null;
  #kept!: Kept;
  #wake!: Wake;
  #channel: Read | undefined;
  #readAt: number | null = null;
  #askedAt = -Infinity;
  #channelProblem: Problem | null = null;
  #problem: RankletError | null = null;
  #serving: DeliveryState["serving"] = null;
  #disabled: string | null = null;
  #refused: { sha256: string; error: RankletError } | undefined;
  #opening: Promise<void> | undefined;
  #asking: Promise<void> | undefined;
  #loading: Promise<void> | undefined;
  #again = false;
  #told = "";

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  get state(): DeliveryState {
    const { channel } = this.#options;
    return {
      serving: this.#serving && { ...this.#serving },
      problem: said(this.#problem),
      channel:
        channel === undefined
          ? null
          : { sequence: this.#channel?.sequence ?? null, readAt: this.#readAt, problem: this.#channelProblem },
      disabled: this.#disabled,
      storage: this.#kept?.problem ?? null,
    };
  }

  start(to: Receiver): void {
    const { keys, store, name, channel, bundle } = this.#options;
    const source = channel ?? bundle;
    if (source === undefined) throw new RankletError("request_invalid", "a delivery needs a channel or a bundle");
    if (keys !== "unsigned") this.#keys = new PinnedKeys(keys);
    this.#kept = new Kept(store, name ?? String(source));
    this.#wake = new Wake((byTimer) => this.#look(byTimer));
    this.#to = to;
    this.#opening = this.#open();
    void this.#opening.then((): Promise<unknown> => (this.#isStale ? this.refresh() : this.#follow()));
  }

  stop(): void {
    this.#to = undefined;
    this.#wake?.stop();
  }

  async refresh(): Promise<DeliveryState> {
    await this.#opening;
    if (this.#to) {
      await (this.#asking ??= this.#ask().finally(() => (this.#asking = undefined)));
      await this.#follow();
    }
    return this.state;
  }

  /** The last answer counts until its time is over, but not one from the future: the clock was wrong then or is now. */
  async #open(): Promise<void> {
    await this.#kept.open();
    const { channel } = this.#kept.memory;
    const { channel: source } = this.#options;
    if (!channel || source === undefined || !this.#to) return;
    try {
      const bytes = new TextEncoder().encode(channel.text);
      this.#channel = await this.#letThrough(bytes);
      this.#readAt = channel.readAt <= this.#to.now() ? channel.readAt : null;
    } catch {
      // The keys changed since, or the store did: as if it had never been read.
      this.#kept.memory.channel = null;
    }
    // That it may be out of date is judged when it could not be read anew.
    if (this.#killed(this.#to.now()) !== null) this.#judge();
  }

  async #ask(): Promise<void> {
    const { channel: source, timeoutMs = TIMEOUT_MS } = this.#options;
    const to = this.#to!;
    this.#askedAt = to.now();
    if (source === undefined) return;
    try {
      const before = this.#channel && this.#kept.memory.channel;
      const answer = await ask(source, before?.etag ?? null, to, timeoutMs);
      const channel = answer ? await this.#letThrough(answer.bytes) : this.#channel!;
      if (channel.sequence < (this.#channel?.sequence ?? 0)) {
        throw new RankletError("bundle_rollback", `the channel has sequence ${channel.sequence}, and ${this.#channel!.sequence} was seen`);
      }
      this.#channel = channel;
      this.#readAt = to.now();
      this.#channelProblem = null;
      this.#judge();
      await this.#kept.read({ ...textOf(answer, before), readAt: this.#readAt });
    } catch (thrown) {
      this.#channelProblem = said(failure(thrown, "bundle_fetch_failed"));
    }
  }

  async #letThrough(bytes: Uint8Array): Promise<Read> {
    const sealed = sealChannel(bytes);
    if (this.#keys && (sealed.signatures || this.#options.signedChannel)) await this.#keys.verify(sealed);
    const channel = readChannel(bytes);
    return { ...channel, entry: await chosen(channel, this.#options.unit) };
  }

  /** Whether the channel's last answer, if there is one, counts no more. */
  get #isStale(): boolean {
    if (!this.#channel || this.#readAt === null || !this.#to) return true;
    const age = this.#to.now() - this.#readAt;
    // A clock that was put back while the page runs: the answer's time begins anew, once.
    if (age < 0) this.#readAt = this.#to.now();
    return age >= this.#channel.ttlMs;
  }

  /** Whether there is to be a model at all, as of now. */
  #judge(): void {
    const to = this.#to;
    if (!to || this.#options.channel === undefined) return;
    const offline = this.#channel?.offline ?? this.#options.offline;
    const off =
      this.#killed(to.now()) ??
      (offline === "off" && this.#isStale ? "the channel cannot be read"
      : this.#channel && !this.#channel.entry ? "the channel has no bundle for this unit"
      : null);
    this.#disabled = off;
    if (off === null) to.enable();
    else to.disable(off);
  }

  #killed(now: number): string | null {
    const { until = null, detail } = this.#channel?.disabled ?? {};
    return detail !== undefined && (until === null || now < until) ? detail : null;
  }

  /** Brings the reranker to what the channel wants, as far as it is to be had. */
  async #follow(): Promise<void> {
    this.#judge();
    this.#tell();
    this.#again = true;
    await (this.#loading ??= this.#load().finally(() => (this.#loading = undefined)));
    this.#tell();
    this.#arm();
  }

  async #load(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      const { bundle, channel } = this.#options;
      if (!this.#to || this.#disabled !== null) return;
      try {
        if (channel !== undefined && !this.#channel) {
          const { code, detail } = this.#channelProblem!;
          throw new RankletError(code, detail);
        }
        const entry = this.#channel?.entry;
        await this.#take(entry ? { ...entry, url: resolved(entry.url, channel!) } : { url: bundle! });
        this.#problem = null;
      } catch (thrown) {
        this.#problem = failure(thrown, "bundle_fetch_failed");
        if (!this.#serving) await this.#fallBack(this.#problem);
      }
    }
  }

  async #take(wanted: Wanted): Promise<void> {
    if (wanted.sha256 !== undefined && wanted.sha256 === this.#serving?.sha256) return;
    if (wanted.sha256 !== undefined && wanted.sha256 === this.#refused?.sha256) throw this.#refused.error;
    const { good } = this.#kept.memory;
    if (wanted.version !== undefined && wanted.sha256 !== good?.sha256) this.#checkVersion(wanted.version);
    const stored = wanted.sha256 !== undefined && wanted.sha256 === good?.sha256 ? await this.#kept.bytes() : undefined;
    const bytes = stored ?? (await inTime(this.#to!.read(wanted.url), this.#options.timeoutMs ?? TIMEOUT_MS));
    const digest = hex(await sha256(bytes));
    if (wanted.sha256 !== undefined && digest !== wanted.sha256) throw new RankletError("bundle_corrupt", `its SHA-256 is ${digest}`);
    if (digest === this.#serving?.sha256) return;
    try {
      await this.#offer(bytes, digest, wanted.version, stored ? "store" : "network");
    } catch (thrown) {
      const error = failure(thrown, "bundle_corrupt");
      // A page that asks every minute must not fetch what it refuses every minute.
      if (FINAL.test(error.code)) this.#refused = { sha256: digest, error };
      throw error;
    }
  }

  /** Verifies, opens and, once it runs, keeps a bundle. */
  async #offer(bytes: Uint8Array<ArrayBuffer>, digest: string, version: number | undefined, from: "network" | "store"): Promise<void> {
    const { model } = this.#options;
    await this.#keys?.verify(sealBundle(bytes));
    const { good } = this.#kept.memory;
    const own = stated(bytes);
    if (version !== undefined && version !== own.version) {
      throw new RankletError("bundle_corrupt", `it is of version ${own.version}, not ${version} as the channel says`);
    }
    if (model !== undefined && model !== own.name) throw new RankletError("bundle_signature", `it is signed for ${own.name}, not for ${model}`);
    if (digest !== good?.sha256) this.#checkVersion(own.version);
    const copy = this.#kept.keeps && digest !== good?.sha256 ? bytes.slice() : undefined;
    const to = this.#to;
    if (!to) throw new RankletError("disposed", "the delivery was stopped");
    await to.offer(bytes);
    const ran: Good = { ...own, sha256: digest };
    this.#serving = { ...ran, from };
    await this.#kept.ran(ran, copy);
  }

  #checkVersion(version: number): void {
    const least = Math.max(this.#kept.memory.floor, this.#options.minVersion ?? 0);
    if (version < least) throw new RankletError("bundle_rollback", `version ${version} is older than ${least}`);
  }

  /** The last known good bundle in place of one that failed, whatever its version; the keys of today must have signed it. */
  async #fallBack(error: RankletError): Promise<void> {
    try {
      const bytes = await this.#kept.bytes();
      if (bytes) return await this.#offer(bytes, this.#kept.memory.good!.sha256, undefined, "store");
    } catch {
      // What failed first is the reason.
    }
    this.#to?.refuse(error);
  }

  /** It is time, or the page came back. */
  #look(byTimer: boolean): void {
    const to = this.#to;
    if (!to) return;
    const { intervalMs = 0, channel } = this.#options;
    const since = to.now() - this.#askedAt;
    // A clock that was put back says nothing of how long ago it was.
    const due = intervalMs > 0 ? byTimer || since < 0 || since >= intervalMs : channel !== undefined && this.#isStale;
    if (this.#wake.visible && due) void this.refresh();
    else void this.#follow();
  }

  /** When to look again: at the next interval, and when the kill switch or the last answer's time ends. */
  #arm(): void {
    const to = this.#to;
    if (!to) return;
    const { intervalMs = 0 } = this.#options;
    const now = to.now();
    const times = [
      intervalMs > 0 && this.#wake.visible ? intervalMs : Infinity,
      (this.#channel?.disabled?.until ?? Infinity) - now,
      this.#readAt !== null && this.#channel?.offline === "off" ? this.#readAt + this.#channel.ttlMs - now : Infinity,
    ];
    this.#wake.in(Math.min(...times.filter((ms) => ms > 0)));
  }

  #tell(): void {
    const { onState } = this.#options;
    const { state } = this;
    const told = JSON.stringify(state);
    if (told === this.#told || !this.#to) return;
    this.#told = told;
    try {
      onState?.(state);
    } catch {
      // A listener's failure is its own.
    }
  }
}

function textOf(answer: Answer | null, before: { text: string; etag: string | null } | null | undefined): { text: string; etag: string | null } {
  return answer ? { text: new TextDecoder("utf-8", { ignoreBOM: true }).decode(answer.bytes), etag: answer.etag } : before!;
}

function said(error: RankletError | null): Problem | null {
  return error && { code: error.code, detail: error.message };
}

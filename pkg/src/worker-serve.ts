import type { Receiver } from "./delivery.js";
import type { List } from "./list.js";
import type { Ranking } from "./ranking.js";
import { RankletError, describe, failure } from "./reasons.js";
import type { Reranker } from "./reranker.js";
import type { Session } from "./session.js";
import type { BytesSource, RerankerOptions } from "./types.js";
import { listen, packRanking, unpack, type Asked, type Envelope, type Opening, type Port, type RerankAsk, type Said, type Sent } from "./worker-messages.js";

type Create = (options: RerankerOptions) => Reranker;

/** Rankings of a list whose exposures can still be told. */
const REMEMBERED = 4;

/** A list, with what is told of its last decisions. */
interface Held {
  list: List;
  decisions: [number, Ranking][];
  stop: (() => void) | null;
}

/** Serves one page over one port: a reranker, its sessions and lists by the page's numbers. */
export function serveWith(create: Create, port: Port): void {
  const served = new Served(create, port);
  listen(port, (message) => served.take(message), () => served.close());
  port.postMessage({ hello: true } satisfies Said);
}

class Served {
  readonly #create: Create;
  readonly #port: Port;
  #reranker: Reranker | undefined;
  /** What the page's delivery speaks to. */
  #to: Receiver | undefined;
  readonly #sessions = new Map<number, Session>();
  readonly #lists = new Map<number, Held>();
  /** What comes later of what the reranker loads. */
  readonly #sources = new Map<string, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #now = 0;
  #consent = "none";

  constructor(create: Create, port: Port) {
    this.#create = create;
    this.#port = port;
  }

  take(message: unknown): void {
    // A port may carry other things too.
    if ((message as Envelope | null)?.ranklet !== 1) return;
    const { id, now, consent, asked } = message as Envelope;
    this.#now = now;
    this.#consent = consent;
    const failed = (thrown: unknown) => {
      const { code, message: said } = failure(thrown, "request_invalid");
      if (id !== null) this.#say({ id, error: { code, message: said } });
    };
    try {
      const answer = this.#do(asked);
      if (id === null) return;
      if (answer instanceof Promise) answer.then((answer: unknown) => this.#say({ id, answer }), failed);
      else this.#say({ id, answer });
    } catch (thrown) {
      failed(thrown);
    }
  }

  close(): void {
    this.#reranker?.dispose();
    this.#sessions.clear();
    this.#lists.clear();
  }

  #do(asked: Asked): unknown {
    switch (asked.op) {
      case "open":
        return this.#open(asked.options);
      case "source":
        return this.#source(asked.name, asked.source, asked.error);
      case "replace":
        return this.#reranker!.replace(this.#given(asked.name, asked.source) as BytesSource);
      case "offer":
        return this.#to!.offer(asked.bytes);
      case "refuse":
        return this.#to!.refuse(new RankletError(asked.code, asked.message));
      case "disable":
        return this.#to!.disable(asked.detail);
      case "enable":
        return this.#to!.enable();
      case "read":
        return this.#to!.read(this.#given("", asked.source) as URL | string);
      case "session":
        this.#sessions.set(asked.session, this.#reranker!.session(asked.options));
        return undefined;
      case "end":
        this.#session(asked.session).dispose();
        return this.#sessions.delete(asked.session);
      case "close":
        return this.close();
      case "prepare": {
        const { candidates, seed, decision_id, list_id, surface, now, facts } = asked.request;
        const request = { candidates: unpack(candidates), seed, decision_id, list_id, surface, now, facts };
        this.#lists.set(asked.list, { list: this.#session(asked.session).prepare(request), decisions: [], stop: null });
        return undefined;
      }
      case "append":
        return this.#held(asked.list).list.append(unpack(asked.page));
      case "update":
        return this.#held(asked.list).list.update(asked.facts);
      case "rerank":
        return this.#rerank(this.#held(asked.list), asked.ask);
      case "watch": {
        const held = this.#held(asked.list);
        held.stop ??= held.list.subscribe(() => this.#say({ due: asked.list }));
        return undefined;
      }
      case "unwatch": {
        const held = this.#held(asked.list);
        held.stop?.();
        held.stop = null;
        return undefined;
      }
      case "drop":
        this.#lists.get(asked.list)?.list.dispose();
        return this.#lists.delete(asked.list);
      case "exposed":
        return this.#held(asked.list).decisions.find(([decision]) => decision === asked.decision)?.[1].exposed(asked.id, asked.visibleMs);
      default:
        return this.#ask(asked);
    }
  }

  /** What is asked of a session. */
  #ask(asked: Extract<Asked, { session: number }>): unknown {
    const session = this.#session(asked.session);
    switch (asked.op) {
      case "observe":
        return session.observe(asked.event);
      case "merge":
        return session.merge(asked.events);
      case "snapshot":
        return session.snapshot();
      case "restored":
        return session.restored;
      case "meanings":
        return session.meanings();
      case "forget":
        return session.forget();
      case "signals": {
        const list = asked.list === null ? undefined : this.#lists.get(asked.list)?.list;
        return session.signals({ ...asked.options, ...(list && { list }) });
      }
      default:
        return undefined;
    }
  }

  #open({ bundle, wasm, clocked, recorded, delivered, ...rest }: Opening): void {
    const options: Record<string, unknown> = { ...rest, onStatus: () => this.#status(), consent: () => this.#consent };
    if (bundle) options["bundle"] = this.#given("bundle", bundle);
    if (wasm) options["wasm"] = this.#given("wasm", wasm);
    if (clocked) options["clock"] = () => this.#now;
    const start = (to: Receiver) => {
      this.#to = to;
      this.#say({ delivers: true });
    };
    if (delivered) options["delivery"] = { start, stop: () => undefined };
    if (recorded) options["onRecord"] = (record: Uint8Array<ArrayBuffer>) => this.#say({ record });
    this.#reranker = this.#create(options as unknown as RerankerOptions);
    void this.#reranker.ready.then(() => this.#status());
    this.#status();
  }

  #given(name: string, source: Sent): unknown {
    if (source === null) return undefined;
    if ("text" in source) return source.text;
    if ("url" in source) return new URL(source.url);
    if ("bytes" in source) return source.bytes;
    if ("module" in source) return source.module;
    return new Promise((resolve, reject) => this.#sources.set(name, { resolve, reject }));
  }

  #source(name: string, source: Sent, error: string | undefined): void {
    const waiting = this.#sources.get(name);
    this.#sources.delete(name);
    if (error !== undefined) waiting?.reject(new Error(error));
    else waiting?.resolve(this.#given(name, source));
  }

  #rerank(held: Held, { frozen, now, rows, seed, decision_id, decision, shown }: RerankAsk): unknown {
    const { list } = held;
    if (shown) list.shown(shown);
    const ranking = list.rerank({ frozen, now, rows, ...(seed !== null && { seed }), ...(decision_id !== null && { decision_id }) });
    held.decisions = [[decision, ranking] as [number, Ranking], ...held.decisions].slice(0, REMEMBERED);
    return packRanking(ranking, this.#reranker?.status.bundle?.heads ?? []);
  }

  #status(): void {
    if (this.#reranker) this.#say({ status: this.#reranker.status });
  }

  #session(number: number): Session {
    const session = this.#sessions.get(number);
    if (!session) throw failure(new Error("there is no such session"), "disposed");
    return session;
  }

  #held(number: number): Held {
    const held = this.#lists.get(number);
    if (!held) throw failure(new Error("there is no such list"), "disposed");
    return held;
  }

  #say(said: Said): void {
    try {
      this.#port.postMessage(said);
    } catch (thrown) {
      // What does not cross is said as an error, so that nobody waits for it.
      if ("id" in said) this.#port.postMessage({ id: said.id, error: { code: "request_invalid", message: describe(thrown) } });
    }
  }
}


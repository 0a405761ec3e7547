import "./style.css";
import type { LocalEvent, RerankRequest } from "ranklet";
import { Card, type Action } from "./card.js";
import { glide } from "./flip.js";
import { Panel, byId } from "./panel.js";
import { Ranker, type Fault } from "./ranker.js";
import { title, type Recommendation } from "./recommendation.js";

type Request = RerankRequest<Recommendation> & { session?: string; now: number };

const DAY = 86_400_000;
const STEP_MS = 350;

/** The recorded request, and the visitor's acts on it. */
class Page {
  readonly #request: Request;
  readonly #recorded: LocalEvent[];
  readonly #panel = new Panel();
  readonly #list = byId("list");
  readonly #freeze = byId("freeze") as HTMLInputElement;
  readonly #started = performance.now();
  #cards = new Map<string, Card>();
  #opened = new Map<string, number>();
  #fault: Fault = "none";
  #ranker: Ranker;
  #frame: number | undefined;
  // The card acted on last, whose move is to be told.
  #told: Card | undefined;
  #replaying: ReturnType<typeof setTimeout> | undefined;

  constructor(request: Request, recorded: LocalEvent[]) {
    this.#request = request;
    this.#recorded = recorded;
    this.#ranker = this.#start();
    this.#listen();
  }

  /** The recorded moment, going on from when the page was opened. */
  readonly #now = (): number => this.#request.now + Math.round(performance.now() - this.#started);

  #start(): Ranker {
    this.#cards = new Map(
      this.#request.candidates.map((item) => [item.id, new Card(item, (...act) => this.#act(...act))]),
    );
    this.#opened.clear();
    this.#list.replaceChildren(...[...this.#cards.values()].map((card) => card.element));
    this.#panel.clear();
    const ranker: Ranker = new Ranker(this.#request, this.#fault, this.#now, () => {
      if (ranker === this.#ranker) this.#due();
    });
    ranker.frozen = this.#freeze.checked ? 3 : 0;
    this.#ranker = ranker;
    this.#rank();
    return ranker;
  }

  /** Begins anew, with whatever is to go wrong now. */
  #restart(): void {
    clearTimeout(this.#replaying);
    this.#ranker.dispose();
    this.#start();
  }

  #rank(): void {
    const answer = this.#ranker.rank();
    const before = this.#told?.place;
    const { entries } = answer.ranking;
    const best = Math.max(...entries.map(({ score }) => score ?? 0), Number.MIN_VALUE);
    const cards = entries.map(({ id }) => this.#cards.get(id)!);
    glide(cards.map((card) => card.element), () => {
      cards.forEach((card, place) => {
        card.show(entries[place]!, best);
        // Only what stands elsewhere is moved: a moved element loses what the visitor selected in it.
        if (this.#list.children[place] !== card.element) this.#list.insertBefore(card.element, this.#list.children[place]!);
      });
    });
    this.#list.dataset.source = answer.ranking.source;
    this.#panel.show(answer);
    if (before !== undefined) byId("announce").textContent = this.#told!.sentence(before);
    this.#told = undefined;
  }

  /** Several causes of one moment are one re-rank, or the second would hide what the first moved. */
  #due(): void {
    if (this.#frame !== undefined) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = undefined;
      this.#rank();
    });
  }

  #act(item: Recommendation, action: Action, reason?: string): void {
    const time = this.#now();
    if (action === "close") {
      this.#observe({ type: "dwell", candidate: item.id, time, value: time - (this.#opened.get(item.id) ?? time) }, item);
    } else {
      if (action === "open") this.#opened.set(item.id, time);
      const value = action === "snooze" ? { value: DAY } : {};
      this.#observe({ type: action, candidate: item.id, time, ...value, ...(reason ? { reason } : {}) }, item);
    }
    this.#told = this.#cards.get(item.id)!;
    this.#due();
  }

  #observe(event: LocalEvent, item: Recommendation | undefined): void {
    this.#ranker.observe(event);
    this.#panel.log(event, item ? title(item) : String(event.value ?? event.field ?? event.surface ?? ""));
  }

  #listen(): void {
    this.#freeze.addEventListener("change", () => {
      this.#ranker.frozen = this.#freeze.checked ? 3 : 0;
      this.#due();
    });
    byId("forget").addEventListener("click", () => this.#restart());
    byId("faults").addEventListener("change", (event) => {
      this.#fault = (event.target as HTMLInputElement).value as Fault;
      this.#restart();
    });
    const replay = byId("replay");
    replay.hidden = this.#recorded.length === 0;
    replay.textContent = `Replay a visit (${this.#recorded.length} events)`;
    replay.addEventListener("click", () => {
      this.#restart();
      this.#replay(0);
    });
  }

  /** One act at a time; what was merely seen goes by without a pause. */
  #replay(at: number): void {
    for (let next = at; next < this.#recorded.length; next++) {
      const event = this.#recorded[next]!;
      const item = this.#request.candidates.find(({ id, key }) => id === event.candidate || key === event.key);
      this.#observe(event, item);
      if (event.type === "accept" && item) this.#cards.get(item.id)!.accepted = true;
      if (event.type === "impression") continue;
      this.#due();
      this.#replaying = setTimeout(() => this.#replay(next + 1), STEP_MS);
      return;
    }
    this.#due();
  }
}

async function open(): Promise<void> {
  try {
    const [request, log] = await Promise.all([text("/requests/01.json"), text("/events/01.jsonl")]);
    const parsed = JSON.parse(request) as Request;
    const events = log.split("\n").filter((line) => line.trim() !== "").map((line) => JSON.parse(line) as LocalEvent & { session?: string });
    new Page(parsed, events.filter(({ session, time }) => (session ?? parsed.session) === parsed.session && time! <= parsed.now));
  } catch (error) {
    const nothing = byId("nothing");
    nothing.hidden = false;
    nothing.textContent = `The recorded request could not be read (${(error as Error).message}). Run: cargo xtask demo`;
  }
}

async function text(path: string): Promise<string> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.text();
}

void open();

import type { Entry } from "ranklet";
import { impact, probability, title, why, type Recommendation } from "./recommendation.js";

export type Action = "open" | "close" | "accept" | "dismiss" | "snooze" | "undo";

/** What a card tells the page: an action, and the reason of a dismissal. */
export type Act = (item: Recommendation, action: Action, reason?: string) => void;

const REASONS: readonly (readonly [string, string])[] = [
  ["not_relevant", "Not relevant"],
  ["not_now", "Not now"],
  ["already_done", "Already done"],
  ["too_costly", "Costs too much"],
];

/** One recommendation on the page. It is made once and then only moves and changes. */
export class Card {
  readonly element = element("li", "card");
  accepted = false;
  readonly #item: Recommendation;
  readonly #act: Act;
  readonly #rank = element("span", "rank");
  readonly #move = element("span", "move");
  readonly #server = element("span", "server");
  readonly #score = element("span", "score");
  readonly #meter = element("span", "meter");
  readonly #mark = element("span", "mark");
  readonly #details = element("p", "details");
  readonly #open: HTMLButtonElement;
  readonly #actions = element("div", "actions");
  readonly #choices = element("div", "choices");
  readonly #dismiss: HTMLButtonElement;
  readonly #undo: HTMLButtonElement;
  #place = 0;

  constructor(item: Recommendation, act: Act) {
    this.#item = item;
    this.#act = act;
    this.element.dataset.id = item.id;
    this.#open = button(title(item), "title", () => this.#toggle());
    this.#open.setAttribute("aria-expanded", "false");
    this.#dismiss = button("Dismiss", "plain", () => this.#choose(this.#choices.hasAttribute("hidden")));
    this.#dismiss.setAttribute("aria-expanded", "false");
    this.#undo = button("Undo", "plain undo", () => this.#undone());
    this.#layOut();
  }

  /** Shows where the item stands in an answer whose best score is `best`. */
  show(entry: Entry<Recommendation>, best: number): void {
    const moved = this.#place === 0 ? 0 : this.#place - entry.rank;
    this.#place = entry.rank;
    this.#rank.textContent = String(entry.rank);
    this.#server.textContent = moved === 0 ? `server ${entry.serverRank}` : `was ${entry.rank + moved} · server ${entry.serverRank}`;
    this.#move.textContent = moved === 0 ? "" : moved > 0 ? `▲ ${moved}` : `▼ ${-moved}`;
    this.#move.dataset.way = moved > 0 ? "up" : "down";
    this.#score.textContent = entry.score === null ? "no score" : probability(entry.score);
    this.#score.title = "calibrated probability that it is accepted";
    this.#meter.style.setProperty("--part", String((entry.score ?? 0) / best));
    this.#meter.hidden = entry.score === null;
    this.#marked(entry.suppressed);
  }

  /** The card's own sentence about its last move, for those who do not see it glide. */
  sentence(before: number): string {
    const name = title(this.#item);
    return before === this.#place ? `${name} stays at place ${before}.` : `${name} moved from place ${before} to ${this.#place}.`;
  }

  get place(): number {
    return this.#place;
  }

  #layOut(): void {
    const { topic } = this.#item.features;
    const head = element("div", "head");
    const kind = element("span", "topic");
    kind.textContent = topic ?? this.#item.type;
    head.append(this.#open, kind);
    const line = element("p", "impact");
    line.textContent = impact(this.#item);
    this.#details.textContent = why(this.#item) || "The server gave no reason.";
    this.#details.hidden = true;
    const choices = REASONS.map(([reason, text]) => button(text, "plain", () => this.#dismissed(reason)));
    this.#choices.append(...choices);
    this.#choices.hidden = true;
    this.#choices.setAttribute("role", "group");
    this.#choices.setAttribute("aria-label", "Why?");
    this.#actions.append(
      button("Do it", "primary", () => this.#take()),
      button("Later", "plain", () => this.#act(this.#item, "snooze")),
      this.#dismiss,
    );
    const side = element("div", "side");
    side.append(this.#rank, this.#move);
    const body = element("div", "body");
    body.append(head, line, this.#details, this.#mark, this.#actions, this.#choices, this.#undo);
    const numbers = element("div", "numbers");
    numbers.append(this.#score, this.#meter, this.#server);
    this.element.append(side, body, numbers);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.#choices.hidden) return;
      this.#choose(false);
      this.#dismiss.focus();
    });
  }

  #marked(suppressed: Entry<Recommendation>["suppressed"]): void {
    const mark = suppressed ?? (this.accepted ? "accepted" : null);
    const focused = this.element.contains(document.activeElement);
    this.element.dataset.mark = mark ?? "";
    this.#mark.textContent = mark === "snoozed" ? "put off until tomorrow" : (mark ?? "");
    this.#mark.hidden = mark === null;
    this.#undo.hidden = suppressed === null;
    this.#actions.hidden = mark !== null;
    if (mark !== null) this.#choose(false);
    // The button that was pressed is gone; the keyboard goes on from what took its place.
    if (focused && document.activeElement?.closest("[hidden]")) (suppressed ? this.#undo : this.#open).focus();
  }

  #toggle(): void {
    const opens = this.#details.hidden;
    this.#details.hidden = !opens;
    this.#open.setAttribute("aria-expanded", String(opens));
    this.#act(this.#item, opens ? "open" : "close");
  }

  #choose(open: boolean): void {
    this.#choices.hidden = !open;
    this.#dismiss.setAttribute("aria-expanded", String(open));
    if (open) this.#choices.querySelector("button")?.focus();
  }

  #dismissed(reason: string): void {
    this.#choose(false);
    this.#act(this.#item, "dismiss", reason);
  }

  #take(): void {
    this.accepted = true;
    this.#act(this.#item, "accept");
  }

  #undone(): void {
    this.#act(this.#item, "undo");
    this.#open.focus({ preventScroll: true });
  }
}

export function element<K extends keyof HTMLElementTagNameMap>(name: K, className: string): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

function button(text: string, className: string, press: () => void): HTMLButtonElement {
  const made = element("button", className);
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", press);
  return made;
}

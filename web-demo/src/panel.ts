import type { LocalEvent } from "ranklet";
import { element } from "./card.js";
import type { Answer } from "./ranker.js";
import { title } from "./recommendation.js";

const MEANINGS: Record<string, string> = {
  loading: "the engine is on its way",
  bundle_corrupt: "the model's file is damaged",
  bundle_fetch_failed: "the model's file did not come",
  wasm_fetch_failed: "the runtime did not come",
  wasm_invalid: "what came is no runtime",
  csp_blocked: "the page's policy forbids WebAssembly",
  simd_unavailable: "this browser has no WebAssembly SIMD",
  wasm_unavailable: "this browser has no WebAssembly",
  load_timeout: "loading took too long",
  trapped: "the engine stopped; a new one is being made",
  disabled: "switched off",
};

const LONGEST_LOG = 40;

/** How many suggestions the assistant makes. */
const BESIDE = 3;

/** The side panel and the pill above: what ranklet answered, and what it was told. */
export class Panel {
  readonly #pill = byId("pill");
  readonly #pillText = byId("pill-text");
  readonly #facts = byId("facts");
  readonly #beside = byId("beside");
  readonly #log = byId("log");
  readonly #logEmpty = byId("log-empty");

  show({ ranking, beside, status, took }: Answer): void {
    this.#pill.dataset.source = ranking.source;
    this.#pillText.textContent = ranking.source === "model" ? "model on this device" : `server order · ${ranking.reason}`;
    const rows: [string, string, string?][] = [["Source", ranking.source === "model" ? "the model, on this device" : "the server"]];
    if (ranking.reason) rows.push(["Reason", ranking.reason, MEANINGS[ranking.reason] ?? ranking.detail]);
    rows.push(["Re-rank", `${took.toFixed(2)} ms`, `${ranking.items.length} candidates`]);
    const engine = runtimeBytes();
    if (engine) rows.push(["Engine", kilobytes(engine), "before compression"]);
    const { bundle } = status;
    if (bundle) {
      rows.push(["Model", `${bundle.name} ${bundle.version}`, kilobytes(bundle.sizeBytes)]);
      rows.push(["Digest", bundle.digests.bundle.slice(0, 12), `self-test of ${bundle.selfTestRows} rows passed`]);
    }
    this.#facts.replaceChildren(...rows.flatMap(([name, value, note]) => row(name, value, note)));
    const suggested = beside.entries.filter(({ suppressed }) => !suppressed).slice(0, BESIDE);
    this.#beside.replaceChildren(
      ...suggested.map(({ item }) => {
        const line = element("li", "suggestion");
        line.textContent = title(item);
        return line;
      }),
    );
  }

  log(event: LocalEvent, about: string): void {
    const item = element("li", "event");
    const kind = element("b", "kind");
    kind.textContent = event.type;
    const text = element("span", "about");
    text.textContent = [about, event.reason?.replaceAll("_", " ")].filter(Boolean).join(" · ");
    text.title = text.textContent;
    item.append(kind, text);
    this.#log.prepend(item);
    while (this.#log.children.length > LONGEST_LOG) this.#log.lastElementChild!.remove();
    this.#logEmpty.hidden = true;
  }

  clear(): void {
    this.#log.replaceChildren();
    this.#logEmpty.hidden = false;
  }
}

export function byId(id: string): HTMLElement {
  return document.getElementById(id)!;
}

function row(name: string, value: string, note?: string): HTMLElement[] {
  const term = document.createElement("dt");
  term.textContent = name;
  const description = document.createElement("dd");
  description.textContent = value;
  if (note) {
    const small = document.createElement("small");
    small.textContent = note;
    description.append(small);
  }
  return [term, description];
}

/** What the browser itself measured of the runtime. */
function runtimeBytes(): number | undefined {
  const entries = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
  return entries.find(({ name, decodedBodySize }) => /ranklet[^/]*\.wasm$/.test(name) && decodedBodySize > 0)?.decodedBodySize;
}

function kilobytes(bytes: number): string {
  return `${Math.round(bytes / 1000)} KB`;
}

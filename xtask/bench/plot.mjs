// Draws a record: how many times as long onnxruntime-web takes as ranklet, by model and length of list, with the goals.
//
//   node plot.mjs RECORD.json OUT.svg
import { readFileSync, writeFileSync } from "node:fs";
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { WEB } from "./engines.mjs";

const [COLUMNS, WIDTH, HEIGHT] = [2, 470, 230];
/** Above and below the panels. */
const [HEAD, FOOT] = [78, 34];
const MARGIN = 16;
/** Logarithmic and the same in all panels: upwards ranklet is the faster one, downwards the slower. */
const [SCALE, TICKS] = [[0.3, 80], [0.5, 1, 2, 4, 8, 16, 32, 64]];
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const COLOURS = { Node: "#1d6f5f", Chromium: "#8cc4a8" };
/** Of a length of list, by how it was scored. */
const SUFFIX = { full: "", prepared: " p", integers: " 8" };
const [INK, PALE, GOAL] = ["#1f2328", "#656d76", "#c2410c"];

const [path, out] = process.argv.slice(2);
const record = JSON.parse(readFileSync(path, "utf8"));
const { document } = parseHTML("<!doctype html><html><body></body></html>");

const places = [["Node", record.models], ["Chromium", record.page?.models ?? []]];
const names = record.models.map(({ name }) => name);
const rows = Math.ceil(names.length / COLUMNS);
const [width, height] = [COLUMNS * WIDTH + 2 * MARGIN, rows * HEIGHT + HEAD + FOOT];

const svg = element("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${width} ${height}`, width, height, "font-family": FONT });
svg.append(element("rect", { width, height, rx: 8, fill: "#fff" }));
text(MARGIN, 28, `How many times as long onnxruntime-web takes as ranklet`, { "font-size": 17, "font-weight": 600 });
text(MARGIN, 48, "one thread, medians of rounds in turns, by candidates in the list; p: list prepared, context changed; 8: weights of 8 bits beside its f32", { fill: PALE });
legend(MARGIN, 66);
names.forEach((name, i) => svg.append(panel(name, MARGIN + (i % COLUMNS) * WIDTH, HEAD + Math.floor(i / COLUMNS) * HEIGHT)));
const { machine, versions, date, commit } = record;
const page = record.page ? `, Chromium ${record.page.version}` : "";
text(MARGIN, height - 14, `${machine.cpu}, Node ${versions.node}${page}, onnxruntime-web ${versions[WEB]}; ${date}, commit ${commit}`, { fill: PALE });
writeFileSync(out, `${svg.outerHTML}\n`);

/** One model's bars, side by side for Node and Chromium at every length. */
function panel(name, x, y) {
  const bars = places.flatMap(([place, models]) => {
    const model = models.find((model) => model.name === name);
    const of = (lists, suffix) =>
      (lists ?? []).filter(({ ratios }) => ratios[WEB]).map((list) => ({ place, rows: `${list.rows}${suffix}`, ratio: list.ratios[WEB].median }));
    return model ? [...of(model.lists, SUFFIX.full), ...of(model.prepared, SUFFIX.prepared), ...of(model.integers, SUFFIX.integers)] : [];
  });
  const model = record.models.find((model) => model.name === name);
  if (bars.length === 0) {
    const empty = element("g", { transform: `translate(${x},${y})` });
    empty.append(label(8, 20, model.title, { "font-size": 13, "font-weight": 600 }));
    empty.append(label(8, 44, "not measured: ranklet or onnxruntime-web does not run it", { fill: PALE }));
    return empty;
  }
  const goals = (record.goals ?? [])
    .filter(({ mark }) => mark?.model === name && mark.peer === WEB)
    .map(({ mark }) => ({ rows: `${mark.rows}${SUFFIX[mark.form]}`, times: mark.times }));
  const lengths = [...new Set(bars.map(({ rows }) => rows))];
  const plot = Plot.plot({
    document,
    className: "plot",
    width: WIDTH - 10,
    height: HEIGHT - 14,
    marginTop: 36,
    marginLeft: 36,
    marginRight: 4,
    marginBottom: 24,
    style: { fontSize: "11px", color: INK, background: "none" },
    x: { axis: null, domain: Object.keys(COLOURS), padding: 0.08 },
    y: { type: "log", base: 2, domain: SCALE, label: null, axis: null, clamp: true },
    fx: { domain: lengths, label: null, padding: 0.18, axis: "bottom" },
    color: { domain: Object.keys(COLOURS), range: Object.values(COLOURS) },
    marks: [
      Plot.axisY(TICKS, { tickSize: 0, tickFormat: (value) => `${value}x` }),
      Plot.gridY(TICKS, { stroke: "#d0d7de", strokeOpacity: 1 }),
      Plot.barY(bars, { fx: "rows", x: "place", y1: 1, y2: drawn, fill: "place" }),
      numbers(bars.filter(({ ratio }) => ratio >= 1), -6),
      numbers(bars.filter(({ ratio }) => ratio < 1), 7),
      Plot.ruleY([1], { stroke: INK }),
      Plot.ruleY(goals, { fx: "rows", y: "times", stroke: GOAL, strokeWidth: 2 }),
    ],
  });
  plot.setAttribute("x", x);
  plot.setAttribute("y", y);
  const group = element("g", {});
  group.append(plot, label(x + 8, y + 20, model.title, { "font-size": 13, "font-weight": 600 }));
  return group;
}

/** What is far below stays clear of the axis. */
function drawn({ ratio }) {
  return Math.max(ratio, TICKS[0]);
}

/** A bar's number at its end. */
function numbers(bars, dy) {
  return Plot.text(bars, { fx: "rows", x: "place", y: drawn, text: ({ ratio }) => short(ratio), dy, fontSize: 9, fill: INK });
}

/** Two digits, or as many as there are before the point. */
function short(ratio) {
  return ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(1);
}

function legend(x, y) {
  let at = x;
  for (const [place, fill] of Object.entries(COLOURS)) {
    svg.append(element("rect", { x: at, y: y - 9, width: 10, height: 10, fill }));
    text(at + 15, y, place);
    at += 15 + 7 * place.length + 18;
  }
  svg.append(element("rect", { x: at, y: y - 5, width: 16, height: 2, fill: GOAL }));
  text(at + 21, y, "goal");
}

function text(x, y, words, attributes = {}) {
  svg.append(label(x, y, words, attributes));
}

function label(x, y, words, attributes = {}) {
  const node = element("text", { x, y, "font-size": 12, fill: INK, ...attributes });
  node.textContent = words;
  return node;
}

function element(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

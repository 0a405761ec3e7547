// The demo's table: where each candidate stood and stands, and its calibrated score.

const COLOUR = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code) => (text) => (COLOUR ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, dim, green, red] = [paint(1), paint(2), paint(32), paint(31)];

/** @param before, after the entries of two rankings of one list */
export function table(before, after) {
  const earlier = new Map(before.map((entry) => [entry.id, entry]));
  const rows = after.map((entry) => {
    const was = earlier.get(entry.id);
    return {
      title: title(entry.item),
      server: String(entry.serverRank),
      before: String(was.rank),
      after: String(entry.rank),
      move: was.rank - entry.rank,
      scoreBefore: score(was),
      scoreAfter: score(entry),
      note: entry.suppressed ?? "",
    };
  });
  const width = Math.max(9, ...rows.map((row) => length(row.title)));
  const line = (name, server, old, now, move, scoreOld, scoreNow, note) =>
    `  ${pad(name, width)}  ${server.padStart(6)}  ${old.padStart(6)}  ${now.padStart(5)} ${move.padEnd(4)}  ${scoreOld.padStart(8)}  ${scoreNow.padStart(8)}  ${note}`.trimEnd();
  return [
    dim(line("", "server", "rank", "rank", "", "score", "score", "")),
    bold(line("candidate", "rank", "before", "after", "", "before", "after", "")),
    ...rows.map((row) => {
      const text = line(row.title, row.server, row.before, row.after, arrow(row.move), row.scoreBefore, row.scoreAfter, row.note);
      if (row.note) return dim(text);
      return row.move > 0 ? green(text) : row.move < 0 ? red(text) : text;
    }),
    "",
  ].join("\n");
}

function arrow(move) {
  return move > 0 ? `▲${move}` : move < 0 ? `▼${-move}` : "";
}

/** The calibrated probability of the primary head; server order has none. */
function score(entry) {
  return entry.score === null ? "–" : entry.score.toFixed(4);
}

/** What a person calls a candidate of the ads-recs request. */
export function title(candidate) {
  return String(candidate.features?.title ?? candidate.type ?? candidate.id);
}

function length(text) {
  return [...text].length;
}

function pad(text, width) {
  return text + " ".repeat(width - length(text));
}

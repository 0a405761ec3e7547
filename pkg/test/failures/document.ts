// docs/failures.md as the cells have it.
import { cells } from "./cells.js";
import type { Runtime } from "./kit.js";

const NAMES: Record<Runtime, string> = { node: "Node", chromium: "Chromium", workerd: "workerd" };

/** Reasons whose cells stand elsewhere, and those that later parts of the project bring. */
export const ELSEWHERE: Record<string, string> = {
  worker_failed: "`ranklet/worker`: the worker does not start, ends, or is forbidden (`pkg/test/worker.test.ts`)",
  worker_timeout: "`ranklet/worker`: the worker does not answer in time (there)",
  drift: "monitors",
  holdout: "experiments",
};

const HEAD = `# What happens when something fails

A page never breaks: \`createReranker\`, \`prepare\`, \`observe\` and \`rerank\` do not throw, and where there is no model's order there is
the server's, with a reason. Before a list's first order of the model that is exactly the server's; afterwards what is frozen stands
where it stood and the rest follows in the server's order. What was dismissed or snoozed stays marked. The caller's objects come back
as they were. Nothing is written on the console, no rejection is left unhandled.

- **A runtime or bundle that could not be had**: \`reranker.replace(bundle)\`, or the delivery's next offer, tries again; what is on the
  page, lists and what was observed, takes part at once.
- **A bundle that is bad** while one runs changes nothing: it is opened and tested beside the one that runs, and takes its place only
  as a whole. Of two at a time the one that was asked for later stands.
- **A trap** ends that engine alone. A new one is made at once from the same bundle and is told what sessions and lists know. Three
  traps within a minute open a breaker: no engine until another bundle comes. Memory that is refused is \`out_of_memory\`, and else the same.
- **A list that was prepared for other columns** than a new bundle reads is \`stale_list\` until it is prepared anew, or the old bundle is back.
- **The kill switch** of a delivery frees the engine and beats whatever is offered until it is lifted.

## Each reason, and how it is provoked

This table is written from the tests that provoke each of these (\`pkg/test/failures/cells.ts\`); they run wherever it says so. Each
asserts order, frozen items, marks, the caller's frozen objects, source, reason and silence. *model*: nothing is to be noticed.

| reason | how | where |
| --- | --- | --- |
`;

export function failuresDocument(): string {
  const lines = cells.map(({ reason, how, runtimes }) => `| ${reason ? `\`${reason}\`` : "*model*"} | ${how} | ${runtimes.map((one) => NAMES[one]).join(", ")} |`);
  for (const [reason, where] of Object.entries(ELSEWHERE)) lines.push(`| \`${reason}\` | ${where} | |`);
  return `${HEAD}${lines.join("\n")}\n`;
}

// Compiled by package.test.ts as a caller's own code, and never run.
import { createReranker, type Entry, type Ranking, type Status } from "ranklet";
import { compile, type CompileReport } from "ranklet/compile";
import { readDecision, type DecisionRecord } from "ranklet/records";
import { createScorer, type Scorer } from "ranklet/scorer";

interface Rec {
  uuid: bigint;
  facts: { spend: number };
  kind: "raise_budget" | "add_keywords";
}

const reranker = createReranker<Rec>({ bundle: "/x", id: "uuid", features: (rec) => rec.facts, type: "kind", deadlineMs: 8 });
const session = reranker.session({ key: "user-7/account-12", snapshot: null });
export const due: boolean = session.observe({ type: "dismiss", candidate: "rec-12", reason: "not_now" }).due;
export const list = session.prepare({ surface: "ads_manager", candidates: [] as readonly Rec[], facts: { account: { age: 1 } } });
const ranking: Ranking<Rec> = list.rerank({ frozen: 3 });
const entries: Entry<Rec>[] = ranking.entries;
export const ready: Promise<Status> = reranker.ready;
export const kind: Rec["kind"] | undefined = entries[0]?.item.kind;
export const decision: DecisionRecord = readDecision(ranking.record()!);
export const scores = createScorer({ bundle: new Uint8Array() }).then((scorer) =>
  scorer.prepare({ X: { data: new Float32Array(1), dims: [1, 1] } }).score({}),
);
export const compiled: Promise<Uint8Array> = compile(new Uint8Array(), {
  spec: { name: "x" },
  files: { "calibrator.onnx": new Uint8Array() },
  onReport: ({ warnings }: CompileReport) => warnings.length,
});
export const only: Promise<Scorer> = compiled.then((bundle) => createScorer({ bundle: bundle.slice() }));

// @ts-expect-error the accessor names no property of the caller's type
createReranker<Rec>({ bundle: "/x", id: "uid" });
// @ts-expect-error candidates are of the caller's type
session.prepare({ candidates: [1] });

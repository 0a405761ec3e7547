// What a caller's compiler knows of the package: checked by types.test.ts, which also sees that it fails where a type is
// broken. Never run.
import { expectTypeOf } from "expect-type";
import {
  createReranker, createScorer, type Accessor, type DecisionItem, type DecisionRecord, type Entry, type EventType, type Facts, type Real,
  type Frozen, type HeadScore, type Id, type KnownReason, type List, type LocalEvent, type Observed, type RankletError,
  type Ranking, type Reason, type Reranker, type RerankOptions, type RerankRequest, type Scorer, type Session, type Status, type Tensors,
} from "ranklet";
import { createReranker as createTested, type TestOptions, type TestReranker } from "ranklet/testing";

interface Rec {
  uuid: bigint;
  kind: "raise_budget" | "add_keywords";
  title?: string;
  measured: { uplift: number };
  score: number | null;
}

const reranker = createReranker<Rec>({
  bundle: new URL("https://example.com/x.ranklet"),
  id: "uuid",
  key: ({ kind, uuid }) => `${kind}:${uuid}`,
  type: "kind",
  features: ({ measured }) => measured,
  serverScore: "score",
  value: () => null,
  boost: () => undefined,
  onStatus: (status) => expectTypeOf(status).toEqualTypeOf<Status>(),
});
const session = reranker.session({ key: "user-7/account-12", snapshot: null });
const list = session.prepare({ candidates: [] as readonly Rec[] });
const ranking = list.rerank();
const entry = ranking.entries[0]!;

// The caller's own type, all the way through.
expectTypeOf(reranker).toEqualTypeOf<Reranker<Rec>>();
expectTypeOf(session).toEqualTypeOf<Session<Rec>>();
expectTypeOf(list).toEqualTypeOf<List<Rec>>();
expectTypeOf(ranking).toEqualTypeOf<Ranking<Rec>>();
expectTypeOf(ranking.items).toEqualTypeOf<Rec[]>();
expectTypeOf(ranking.entries).toEqualTypeOf<Entry<Rec>[]>();
expectTypeOf(entry.item).toEqualTypeOf<Rec>();
expectTypeOf(entry.item.kind).toEqualTypeOf<"raise_budget" | "add_keywords">();
expectTypeOf(createReranker({ bundle: "/x" })).toEqualTypeOf<Reranker<unknown>>();

// An accessor is the name of a property or a function of the caller's type.
expectTypeOf<Accessor<Rec, Id>>().toEqualTypeOf<keyof Rec | ((candidate: Rec) => Id | null | undefined)>();
expectTypeOf<"uid">().not.toExtend<Accessor<Rec, Id>>();
expectTypeOf<() => Date>().not.toExtend<Accessor<Rec, Id>>();
expectTypeOf<Id>().toEqualTypeOf<string | number | bigint>();

// What has no value is null, never missing.
expectTypeOf(entry.id).toEqualTypeOf<string>();
expectTypeOf(entry.score).toEqualTypeOf<number | null>();
expectTypeOf(entry.utility).toEqualTypeOf<number | null>();
expectTypeOf(entry.propensity).toEqualTypeOf<number>();
expectTypeOf(entry.heads).toEqualTypeOf<Record<string, HeadScore>>();
expectTypeOf<HeadScore>().toEqualTypeOf<{ raw: number | null; calibrated: number | null }>();
expectTypeOf(entry.suppressed).toEqualTypeOf<"dismissed" | "snoozed" | null>();
expectTypeOf(entry.constraints).toEqualTypeOf<string[]>();

// Reasons: known ones are completed, unknown ones must be handled.
expectTypeOf(ranking.reason).toEqualTypeOf<Reason | null>();
expectTypeOf(ranking.source).toEqualTypeOf<"model" | "server">();
expectTypeOf<KnownReason>().toExtend<Reason>();
expectTypeOf<string>().toExtend<Reason>();
expectTypeOf<"load_timeout">().toExtend<KnownReason>();
expectTypeOf<string>().not.toExtend<KnownReason>();
expectTypeOf<RankletError["code"]>().toEqualTypeOf<Reason>();
expectTypeOf(reranker.ready).toEqualTypeOf<Promise<Status>>();
expectTypeOf(reranker.status.reason).toEqualTypeOf<Reason | null>();

// Requests, pages, facts, what is frozen.
expectTypeOf<RerankRequest<Rec>["candidates"]>().toEqualTypeOf<readonly Rec[]>();
expectTypeOf(list.append).parameters.toEqualTypeOf<[candidates: readonly Rec[]]>();
expectTypeOf(list.append).returns.toEqualTypeOf<void>();
expectTypeOf(list.update).parameters.toEqualTypeOf<[facts: Facts]>();
expectTypeOf<{ account: { age: number } }>().toExtend<Facts>();
expectTypeOf<{ accounts: object }>().not.toExtend<Facts>();
expectTypeOf<number | string[] | Set<bigint> | Generator<Id>>().toExtend<Frozen>();
expectTypeOf(list.rerank).parameters.toEqualTypeOf<[options?: RerankOptions]>();
expectTypeOf<RerankOptions["frozen"]>().toEqualTypeOf<Frozen | null | undefined>();
expectTypeOf(list.subscribe).toEqualTypeOf<(listener: () => void) => () => void>();
expectTypeOf<RerankRequest<Rec>["seed"]>().toEqualTypeOf<number | string | bigint | null | undefined>();

// Events: a closed list completes, an open one compiles.
expectTypeOf(session.observe).returns.toEqualTypeOf<Observed>();
expectTypeOf<Observed>().toEqualTypeOf<{ accepted: boolean; due: boolean; reason: Reason | null }>();
expectTypeOf<{ type: EventType; candidate: bigint }>().toExtend<LocalEvent>();
expectTypeOf<{ type: string }>().toExtend<LocalEvent>();
expectTypeOf<{ candidate: string }>().not.toExtend<LocalEvent>();

// Records: a number that JSON lacks is a text; the time stands in full records alone.
expectTypeOf(ranking.record()).toEqualTypeOf<DecisionRecord | null>();
expectTypeOf<DecisionRecord["items"]>().toEqualTypeOf<DecisionItem[]>();
expectTypeOf<DecisionRecord["now"]>().toEqualTypeOf<Real | undefined>();
expectTypeOf<DecisionItem["score"]>().toEqualTypeOf<Real>();
expectTypeOf<Real>().toEqualTypeOf<number | "inf" | "-inf" | "-0" | null>();

// `using`, whatever library the caller compiles against.
expectTypeOf<Reranker<Rec> | Session<Rec> | List<Rec>>().toExtend<Disposable>();

// The tests' entry is the package's own with more.
const tested = createTested<Rec>({ bundle: "/x", id: "uuid", now: 0, reason: "load_timeout", order: [1n, "b"] });
expectTypeOf(tested).toEqualTypeOf<TestReranker<Rec>>();
expectTypeOf(tested).toExtend<Reranker<Rec>>();
expectTypeOf(tested.session()).toEqualTypeOf<Session<Rec>>();
expectTypeOf(tested.reason).toEqualTypeOf<Reason | null>();
expectTypeOf<TestOptions<Rec>>().not.toHaveProperty("clock");

// Scores alone.
expectTypeOf(createScorer).returns.toEqualTypeOf<Promise<Scorer>>();
expectTypeOf<Scorer["score"]>().returns.toEqualTypeOf<Tensors>();

// @ts-expect-error candidates are of the caller's type
session.prepare({ candidates: [{ uuid: "1" }] });
// @ts-expect-error a page is of the caller's type too
list.append([1]);

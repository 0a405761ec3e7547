// What every cell runs: the recorded request and its events, ranked by the packed package. Plain JavaScript that knows no platform.

const view = new DataView(new ArrayBuffer(8));

/** The bits of a double, so that nothing is lost on the way to who compares. */
export function bits(value) {
  if (value === null || value === undefined) return "none";
  view.setFloat64(0, value);
  return view.getBigUint64(0).toString(16).padStart(16, "0");
}

/** One line an item: its id, and the bits of its score, utility and every head. */
export async function rank(createReranker, bundle, { request, events }) {
  const reranker = createReranker({ bundle, clock: () => request.now });
  const { reason, detail } = await reranker.ready;
  const session = reranker.session({ key: request.session });
  const list = session.prepare(request);
  for (const event of events) session.observe(event);
  const ranking = list.rerank({ now: request.now });
  const lines = ranking.entries.map(({ id, score, utility, heads }) =>
    [id, bits(score), bits(utility), ...Object.values(heads).flatMap(({ raw, calibrated }) => [bits(raw), bits(calibrated)])].join(" "),
  );
  reranker.dispose();
  return { source: ranking.source, reason: reason ?? ranking.reason, detail, lines };
}

/** In a page or one of its workers: ranks, and tells the server that the page came from. */
export async function report(createReranker, bundle = "/ads-recs.ranklet") {
  let answer;
  try {
    answer = await rank(createReranker, bundle, await (await fetch("/case.json")).json());
  } catch (thrown) {
    answer = { source: "nothing", reason: String(thrown), detail: String(thrown?.stack), lines: [] };
  }
  await fetch("/answer", { method: "POST", body: JSON.stringify(answer) });
}

/** A candidate of the ads-recs requests, as the server sends it. */
export interface Recommendation {
  id: string;
  key: string;
  type: string;
  server_score: number;
  features: {
    title: string;
    topic: string;
    uplift?: number;
    adoption?: number;
    severity?: number;
    minutes?: number;
    cost?: number;
    created_at?: number;
  };
}

const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const precise = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const money = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function title(item: Recommendation): string {
  return item.features.title ?? item.type.replaceAll("_", " ");
}

/** What it is expected to bring, and what it takes. */
export function impact({ features }: Recommendation): string {
  const parts = [];
  if (features.uplift !== undefined) parts.push(`about ${percent.format(features.uplift)} more conversions`);
  if (features.minutes !== undefined) parts.push(effort(features.minutes));
  if (features.cost !== undefined) parts.push(spend(features.cost));
  return parts.join(" · ");
}

/** Why the server recommends it. */
export function why({ features }: Recommendation): string {
  const parts = [];
  if (features.severity !== undefined) parts.push(severity(features.severity));
  if (features.adoption !== undefined) parts.push(`${percent.format(features.adoption)} of similar accounts did it`);
  return parts.join("; ");
}

export function probability(score: number): string {
  return precise.format(score);
}

function effort(minutes: number): string {
  return minutes < 1.5 ? "a minute" : `${Math.round(minutes)} minutes`;
}

function spend(cost: number): string {
  return cost > 0 ? `spends ${money.format(cost)} more a day` : `saves ${money.format(-cost)} a day`;
}

function severity(value: number): string {
  if (value > 0.66) return "The account check calls it urgent";
  return value > 0.33 ? "The account check calls it worth a look" : "The account check calls it minor";
}

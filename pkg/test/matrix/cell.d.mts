export interface CellAnswer {
  source: string;
  reason: string | null;
  detail: string;
  lines: string[];
}
export function rank(createReranker: unknown, bundle: unknown, asked: unknown): Promise<CellAnswer>;
export function report(createReranker: unknown, bundle?: unknown): Promise<void>;

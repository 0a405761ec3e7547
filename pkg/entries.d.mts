export interface Platforms {
  name: string;
  prefix: string;
  runtime: string;
  glue: string;
  places: string[];
}
export interface Everywhere {
  file: string;
  external?: string[];
  runtime?: string;
  glue?: string;
  embeds?: boolean;
}
export const platforms: Platforms[];
export const everywhere: Everywhere[];
export const typed: string[];
export function exportsOf(): Record<string, Record<string, string> | string>;
export const internal: string;

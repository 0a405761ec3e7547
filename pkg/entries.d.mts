export interface Platforms {
  name: string;
  prefix: string;
  places: string[];
  runtime?: string;
  glue?: string;
  upon?: string[];
  external?: string[];
  directive?: string;
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

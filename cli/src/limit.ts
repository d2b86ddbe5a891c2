import { InvalidArgumentError } from "commander";

/** How many things a list may show: what `--limit` takes. */
export function parseLimit(text: string): number {
  if (/^[1-9][0-9]{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 1 to 999999.");
}

import { parseMoney } from "@aerodb/model";
import { InvalidArgumentError } from "commander";

/** An amount in dollars: what `12.50` on a command line is, in millionths. */
export function parseDollars(text: string): bigint {
  const microUsd = parseMoney(text);
  if (microUsd !== undefined) return microUsd;
  throw new InvalidArgumentError(whyNot(text));
}

/** What is too much about a plain number that parseMoney does not read. */
function whyNot(text: string): string {
  const [, whole = "", fraction = ""] = /^\$?(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole.length > 12) return "That is too large: write at most 999999999999.";
  if (fraction.length > 6) return "Write at most six digits after the point, such as 0.000001.";
  return "Write an amount in dollars, such as 12.50.";
}

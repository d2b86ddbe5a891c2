import { parseMoney } from "@aerodb/model";
import { InvalidArgumentError } from "commander";

/** An amount in dollars: what `12.50` on a command line is, in millionths. */
export function parseDollars(text: string): bigint {
  const microUsd = parseMoney(text);
  if (microUsd !== undefined) return microUsd;
  throw new InvalidArgumentError("Write an amount in dollars, such as 12.50.");
}

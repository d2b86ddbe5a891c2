/** Amounts as people write them: `2000000`, `500MB`, `10GB`. Sizes are 1,024-based. */
import { InvalidArgumentError } from "commander";

export const SIZES: Readonly<Record<string, bigint>> = {
  "": 1n,
  KB: 2n ** 10n,
  MB: 2n ** 20n,
  GB: 2n ** 30n,
  TB: 2n ** 40n,
};

/** What 64 bits hold, as amounts are sent. */
const LARGEST = 2n ** 63n - 1n;

/** Reads `2000000` or `10GB`. */
export function parseAmount(text: string): bigint {
  const [, digits, size = ""] = /^(\d+)(KB|MB|GB|TB)?$/.exec(text) ?? [];
  if (digits === undefined) {
    throw new InvalidArgumentError(`${JSON.stringify(text)} is no number such as 2000000 or 10GB.`);
  }
  const unit = SIZES[size] ?? 1n;
  const amount = BigInt(digits) * unit;
  if (amount <= LARGEST) return amount;
  throw new InvalidArgumentError(`${text} is too large: write at most ${LARGEST / unit}${size}.`);
}

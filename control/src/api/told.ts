const LARGEST = 2n ** 63n - 1n;

/** What messages can say: readings that cannot be true may add up to more. */
export function told(amount: bigint): bigint {
  return amount > LARGEST ? LARGEST : amount;
}

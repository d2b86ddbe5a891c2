/**
 * How long to wait after the nth failure in a row (n from 1): doubling, capped, with ±25 % jitter.
 */
export function backoffMs(
  failures: number,
  bounds: { readonly firstMs: number; readonly maxMs: number },
): number {
  const full = Math.min(bounds.maxMs, bounds.firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(full * (0.75 + Math.random() * 0.5));
}

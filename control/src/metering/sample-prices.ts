/** Prices as they are seeded, in force since long ago. */
import type { PriceList } from "./prices.ts";

export const GIB = 2n ** 30n;
const activeFrom = new Date("2020-01-01T00:00:00Z");

export const SAMPLE_PRICES: PriceList = {
  rates: [
    { meter: "api_requests", activeFrom, microUsd: 2_500_000n, perUnits: 1_000_000n },
    { meter: "egress_bytes", activeFrom, microUsd: 90_000n, perUnits: GIB },
    { meter: "file_bytes", activeFrom, microUsd: 23_000n, perUnits: GIB },
    { meter: "storage_bytes", activeFrom, microUsd: 250_000n, perUnits: GIB },
  ],
  plans: [
    plan("enterprise", 599_000_000n, { api_requests: 10_000_000n, storage_bytes: 1_024n * GIB }),
    plan("free", 0n, { api_requests: 10_000n, storage_bytes: 500n * 2n ** 20n }),
    plan("pro", 25_000_000n, { api_requests: 1_000_000n, storage_bytes: 100n * GIB }),
  ],
};

function plan(
  name: string,
  basePriceMicroUsd: bigint,
  allowances: PriceList["plans"][number]["allowances"],
): PriceList["plans"][number] {
  return { plan: name, activeFrom, basePriceMicroUsd, allowances };
}

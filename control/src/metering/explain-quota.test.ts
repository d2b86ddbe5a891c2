import type { QuotaResource } from "@aerodb/model";
import { describe, expect, test } from "vitest";
import { explainQuota } from "./explain-quota.ts";

function explain(
  resource: QuotaResource,
  over: { readonly suspendsAt?: Date; readonly suspendedByQuota?: boolean } = {},
): string {
  return explainQuota({ resource, used: 1_200n, quota: 1_000n, stage: "reached", ...over });
}

const suspendsAt = new Date("2026-01-10T14:00:00Z");

describe("a tenant that has used up a quota", () => {
  test("is told what it can remove, and until when", () => {
    const said = explain("storage_bytes", { suspendsAt });
    expect(said).toMatch(/^It uses 120 % of it: .* To end this: drop or truncate tables, /);
    expect(said).toMatch(/ the tenant is suspended at 2026-01-10 14:00 UTC\.$/);
  });

  test("is told of nothing that it cannot do once it is suspended", () => {
    const suspended = { suspendsAt, suspendedByQuota: true };
    const storage =
      "It uses 120 % of it, and the tenant is suspended for it. To end this: raise the quota; or " +
      "reinstate the tenant, which gives it its grace anew to free room in.";
    expect(explain("storage_bytes", suspended)).toBe(storage);
    expect(explain("spend_micro_usd_per_month", suspended)).toBe(
      "It uses 120 % of it, and the tenant is suspended for it. To end this: wait until the " +
        "month turns, or raise the cap.",
    );
    // Nobody is suspended for requests.
    expect(explain("api_requests_per_month", { suspendedByQuota: true })).toMatch(/ with 429 /);
  });
});

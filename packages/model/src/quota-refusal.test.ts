import { expect, test } from "vitest";
import type { QuotaResource } from "./quota.ts";
import { quotaRefusal } from "./quota-refusal.ts";

const AT = new Date("2026-12-31T23:59:00.500Z");

test.each<[resource: QuotaResource, quota: bigint, retryAfter: number | undefined]>([
  ["api_requests_per_month", 100n, 60],
  ["spend_micro_usd_per_month", 100n, 60],
  ["realtime_connections", 100n, 60],
  ["file_storage_bytes", 100n, undefined],
  ["storage_bytes", 100n, undefined],
  ["api_requests_per_month", 0n, undefined],
])("%s of %i is refused once used up, with when to try again", (resource, quota, retryAfter) => {
  const fault = quotaRefusal({ resource, used: 100n, quota, at: AT });
  expect(fault?.code).toBe("QUOTA_EXCEEDED");
  expect(fault?.details).toEqual({
    ...{ resource, used: "100", limit: quota.toString() },
    ...(retryAfter === undefined ? {} : { retry_after_seconds: retryAfter }),
  });
});

test("requests wait until the month turns, to the second", () => {
  const used = { resource: "api_requests_per_month", used: 7n, quota: 7n } as const;
  const wait = (at: string) =>
    quotaRefusal({ ...used, at: new Date(at) })?.details["retry_after_seconds"];
  expect(wait("2027-02-01T00:00:00Z")).toBe(28 * 86_400);
  expect(wait("2026-12-31T23:59:59.999Z")).toBe(1);
});

test("one use more is admitted while there is room, and of what is unlimited", () => {
  const resource = "api_requests_per_month";
  expect(quotaRefusal({ resource, used: 99n, quota: 100n, at: AT })).toBeUndefined();
  expect(quotaRefusal({ resource, used: 99n, quota: undefined, at: AT })).toBeUndefined();
});

/** What every door says of availability and alerts: part of the suite over RPCs. */
import { expect, test } from "vitest";
import { expectFault } from "./doors.ts";
import type { FleetRpcs } from "./fleet-rpcs.ts";

type AvailabilityRpcs = Pick<FleetRpcs, "call" | "refused" | "tenantName">;

export function describeAvailabilityRpcs({ call, refused, tenantName }: AvailabilityRpcs): void {
  test("what nobody watched of a tenant is unknown, and what its plan promises is told", async () => {
    const rpc = "AvailabilityService/GetTenantAvailability";
    const { availability } = await call(rpc, { tenant: tenantName });
    expect(availability).toMatchObject({
      ...{ tenant_id: expect.stringMatching(/^ten_/), month: expect.stringMatching(/^\d{4}-/) },
      ...{ promised_percent: 99.9, error_budget_minutes: expect.any(Number) },
    });
    expect(availability.known_minutes ?? 0).toBe(0);
    expect(availability.available_percent).toBeUndefined();
    const before = await call(rpc, { tenant: tenantName, month: "2026-01" });
    expect(before.availability).toMatchObject({ month: "2026-01" });
    expect(before.availability.promised_percent).toBeUndefined();
    const wrong = await refused(rpc, { tenant: tenantName, month: "2026-13" });
    expectFault(wrong, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
    const unknown = await refused(rpc, { tenant: "nobody-here" });
    expectFault(unknown, "NOT_FOUND", "TENANT_NOT_FOUND");
  });

  test("alerts are listed, and a page token belongs to its filters", async () => {
    const ask = { include_closed: true, rule: "disk_full", page_size: "1" };
    expect((await call("AlertService/ListAlerts", ask)).alerts ?? []).toEqual([]);
    const wrong = await refused("AlertService/ListAlerts", { page_token: "nonsense" });
    expectFault(wrong, "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN");
  });
}

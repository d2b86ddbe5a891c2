import type { TenantId } from "@aerodb/model";
import { expect, test } from "vitest";
import { renderMetrics } from "./metrics.ts";

const [one, other] = ["ten_1", "ten_2"] as [TenantId, TenantId];
const METRICS = {
  alerts: [
    { name: "disk_full", severity: "critical", open: 0 },
    { name: "quota_warned", severity: "warning", open: 2 },
  ],
  downTimes: [
    { tenantId: one, seconds: 120, plannedSeconds: 0, budgetSeconds: 2_592, budgetUsedSeconds: 90 },
    { tenantId: other, seconds: 60, plannedSeconds: 30, budgetSeconds: 0, budgetUsedSeconds: 0 },
  ],
  knownAt: new Date(60_000),
} as const;

test("alerts of every rule and time that tenants were down are shown, tenants only if wanted", async () => {
  const text = await renderMetrics(METRICS, false);
  expect(text).toContain('aerodb_alerts_open{rule="disk_full",severity="critical"} 0\n');
  expect(text).toContain('aerodb_alerts_open{rule="quota_warned",severity="warning"} 2\n');
  expect(text).toContain('aerodb_tenant_down_seconds{planned="false"} 180\n');
  expect(text).toContain('aerodb_tenant_down_seconds{planned="true"} 30\n');
  expect(text).toContain("aerodb_availability_known_timestamp_seconds 60\n");
  expect(text).not.toContain("ten_");
  expect(text.trimEnd().endsWith("# EOF")).toBe(true);
  const named = await renderMetrics(METRICS, true);
  expect(named).toContain('aerodb_tenant_down_seconds{planned="false",tenant_id="ten_1"} 120\n');
  expect(named).toContain('aerodb_tenant_error_budget_left_seconds{tenant_id="ten_1"} 2502\n');
  expect(named).not.toContain('left_seconds{tenant_id="ten_2"}');
});

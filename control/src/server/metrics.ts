/** Alerts and availability, for a collector of metrics. */
import { Gauge, type OpenMetricsContentType, Registry } from "prom-client";
import type { PlatformMetrics } from "../app/platform-metrics.ts";

export const METRICS_CONTENT_TYPE = Registry.OPENMETRICS_CONTENT_TYPE;

/** Everything anew for each collector. `tenants`: those that were down are shown by their ids. */
export function renderMetrics(
  { alerts, downTimes, knownAt }: PlatformMetrics,
  tenants: boolean,
): Promise<string> {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(METRICS_CONTENT_TYPE);
  const registers = [registry];
  const open = new Gauge({
    name: "aerodb_alerts_open",
    help: "Alerts that are open, by the rule that found them.",
    labelNames: ["rule", "severity"],
    registers,
  });
  for (const { name: rule, severity, open: count } of alerts) open.set({ rule, severity }, count);
  const known = new Gauge({
    name: "aerodb_availability_known_timestamp_seconds",
    help: "Up to when it is known who can be reached.",
    registers,
  });
  if (knownAt !== undefined) known.set(knownAt.getTime() / 1_000);
  const labelNames = ["planned", ...(tenants ? ["tenant_id"] : [])];
  const labelsOf = (tenantId: string) => (tenants ? { tenant_id: tenantId } : {});
  const down = new Gauge({
    name: "aerodb_tenant_down_seconds",
    help: "For how long nobody got through to tenants this month, of all together.",
    labelNames,
    registers,
  });
  if (!tenants) for (const planned of ["true", "false"]) down.set({ planned }, 0);
  for (const { tenantId, seconds, plannedSeconds } of downTimes) {
    down.inc({ planned: "false", ...labelsOf(tenantId) }, seconds);
    down.inc({ planned: "true", ...labelsOf(tenantId) }, plannedSeconds);
  }
  if (tenants) addBudgets(downTimes, registers);
  return registry.metrics();
}

function addBudgets(
  downTimes: PlatformMetrics["downTimes"],
  registers: Registry<OpenMetricsContentType>[],
): void {
  const left = new Gauge({
    name: "aerodb_tenant_error_budget_left_seconds",
    help: "For how long a tenant may be down for the rest of the month by what its plan promises.",
    labelNames: ["tenant_id"],
    registers,
  });
  for (const { tenantId, budgetSeconds, budgetUsedSeconds } of downTimes) {
    if (budgetSeconds > 0) left.set({ tenant_id: tenantId }, budgetSeconds - budgetUsedSeconds);
  }
}

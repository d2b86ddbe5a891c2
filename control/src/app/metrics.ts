/** Showing what was measured: of a tenant, of a host, of one of its instances. */
import { Fault, type HostId, type InstanceId, METRICS, type TenantId } from "@aerodb/model";
import {
  isOnHost,
  type MetricPoint,
  readMetricPoints,
  readOwnInstance,
  readStatements,
  type SampledStatement,
} from "../store/samples.ts";
import type { Control } from "./control.ts";
import { getHost } from "./hosts.ts";
import { requireTenant } from "./tenant-view.ts";

export type { MetricPoint, SampledStatement };

/** Which points to show; 0 is as good as left out. */
export interface MetricSpan {
  readonly sinceSeconds: number;
  readonly stepSeconds: number;
}

export interface TenantMetrics {
  readonly tenantId: TenantId;
  /** The instance, when it is the tenant's own and the figures are those of all of it. */
  readonly instanceId: InstanceId | undefined;
  readonly points: readonly MetricPoint[];
  readonly statements: readonly SampledStatement[];
}

export interface HostMetrics {
  readonly hostId: HostId;
  readonly points: readonly MetricPoint[];
  readonly statements: readonly SampledStatement[];
}

const SINCE_SECONDS = 3_600;
const LONGEST_SECONDS = 48 * 3_600;
const SHORTEST_STEP = 10;
const MOST_POINTS = 1_000;
const COUNTERS = Object.entries(METRICS).flatMap(([name, { kind }]) =>
  kind === "counter" ? [name] : [],
);

/** TENANT_NOT_FOUND. A tenant in a shared instance sees what is its own there. */
export async function getTenantMetrics(
  control: Control,
  tenant: string,
  span: MetricSpan,
): Promise<TenantMetrics> {
  const { id } = await requireTenant(control, tenant);
  const instanceId = await readOwnInstance(control.database, id);
  return { tenantId: id, instanceId, ...(await read(control, instanceId ?? id, span)) };
}

/** HOST_NOT_FOUND; INSTANCE_NOT_FOUND for an instance of another host. */
export async function getHostMetrics(
  control: Control,
  host: string,
  span: MetricSpan & { readonly instanceId: string },
): Promise<HostMetrics> {
  const { id: hostId } = await getHost(control, host);
  const { instanceId } = span;
  if (instanceId === "") return { hostId, ...(await read(control, hostId, span)) };
  const known = /^ins_[0-9a-z]{26}$/.test(instanceId);
  if (!known || !(await isOnHost(control.database, hostId, instanceId))) {
    const what = JSON.stringify(instanceId);
    throw new Fault("INSTANCE_NOT_FOUND", `There is no instance ${what} on ${hostId}.`);
  }
  return { hostId, ...(await read(control, instanceId as InstanceId, span)) };
}

async function read(
  control: Control,
  subject: HostId | InstanceId | TenantId,
  span: MetricSpan,
): Promise<Pick<HostMetrics, "points" | "statements">> {
  const sinceSeconds = Math.min(span.sinceSeconds || SINCE_SECONDS, LONGEST_SECONDS);
  // No more points than somebody can look at, and no step that is shorter than what is measured.
  const shortest = Math.max(SHORTEST_STEP, Math.ceil(sinceSeconds / MOST_POINTS));
  const stepSeconds = Math.max(span.stepSeconds, shortest);
  const query = { subject, sinceSeconds, stepSeconds, counters: COUNTERS, limit: MOST_POINTS };
  const [points, statements] = await Promise.all([
    readMetricPoints(control.database, query),
    readStatements(control.database, subject),
  ]);
  return { points, statements };
}

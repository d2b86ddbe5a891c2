/** What control is told about the host, as messages. */
import { DATABASE, isUnderFloor, parseVersion } from "@aerodb/postgres";
import {
  InstanceState,
  type ObservedInstance,
  ObservedInstanceSchema,
  type ObservedReport,
  ObservedReportSchema,
  type ObservedTenant,
  ObservedTenantSchema,
  TenantState,
} from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { create } from "@bufbuild/protobuf";
import type { DesiredInstance, DesiredTenant, Subject } from "./desired.ts";
import type { HostState } from "./host-state.ts";
import type { ServerEnd, ServerEnds } from "./server-ends.ts";
import type { InstanceStatus, TenantStatus } from "./status.ts";

/** Where the statuses of subjects come from. */
export interface Statuses {
  instanceStatus(desired: DesiredInstance): InstanceStatus | undefined;
  tenantStatus(desired: DesiredTenant): TenantStatus | undefined;
}

const INSTANCE_STATE: Record<InstanceStatus["kind"], InstanceState> = {
  starting: InstanceState.STARTING,
  running: InstanceState.RUNNING,
  stopped: InstanceState.STOPPED,
  failed: InstanceState.FAILED,
  absent: InstanceState.ABSENT,
};

const TENANT_STATE: Record<TenantStatus["kind"], TenantState> = {
  ready: TenantState.READY,
  suspended: TenantState.SUSPENDED,
  failed: TenantState.FAILED,
  absent: TenantState.ABSENT,
};

/** The report on some subjects. Those of which nothing can be said yet are left out. */
export function reportOn(
  subjects: Iterable<Subject>,
  state: HostState,
  statuses: Statuses,
  ends: Pick<ServerEnds, "last">,
): ObservedReport {
  const report = create(ObservedReportSchema);
  for (const subject of subjects) {
    if (subject.kind === "instance") {
      const desired = state.instance(subject.id);
      if (desired === undefined) continue;
      const status = statuses.instanceStatus(desired);
      if (status !== undefined) {
        report.instances.push(encodeInstance(desired, status, ends.last(subject.id)));
      }
    } else {
      const desired = state.tenant(subject.id);
      if (desired === undefined) continue;
      const status = statuses.tenantStatus(desired);
      if (status !== undefined) report.tenants.push(encodeTenant(desired, status));
    }
  }
  return report;
}

/** What a report says is gone: it need not be remembered once control knows. */
export function absentIn(
  report: ObservedReport,
): readonly { readonly subject: Subject; readonly generation: bigint }[] {
  const instances = report.instances.filter(({ state }) => state === InstanceState.ABSENT);
  const tenants = report.tenants.filter(({ state }) => state === TenantState.ABSENT);
  return [
    ...instances.map(({ instanceId, generation }) => ({
      subject: { kind: "instance", id: instanceId } as Subject,
      generation,
    })),
    ...tenants.map(({ tenantId, generation }) => ({
      subject: { kind: "tenant", id: tenantId } as Subject,
      generation,
    })),
  ];
}

function encodeInstance(
  desired: DesiredInstance,
  status: InstanceStatus,
  lastEnd: ServerEnd | undefined,
): ObservedInstance {
  const facts = status.kind === "running" ? factsOf(status) : {};
  return create(ObservedInstanceSchema, {
    instanceId: desired.spec.id,
    generation: desired.generation,
    state: INSTANCE_STATE[status.kind],
    reason: status.kind === "failed" || status.kind === "running" ? status.reason : "",
    ...(lastEnd && { lastEnd }),
    ...facts,
  });
}

function factsOf(status: Extract<InstanceStatus, { readonly kind: "running" }>) {
  const { socketDirectory, engine, systemIdentifier, walls } = status.running;
  const version = parseVersion(`(PostgreSQL) ${engine}`);
  const old = version !== undefined && isUnderFloor(version) ? ["engine:under_floor"] : [];
  return {
    socketDirectory,
    engine,
    systemIdentifier,
    database: DATABASE,
    pendingRestart: [...status.pendingRestart],
    sharedTableChanges: status.newestChange,
    walls: [...walls, ...old],
  };
}

function encodeTenant(desired: DesiredTenant, status: TenantStatus): ObservedTenant {
  return create(ObservedTenantSchema, {
    tenantId: desired.tenantId,
    generation: desired.generation,
    state: TENANT_STATE[status.kind],
    reason: status.kind === "failed" ? status.reason : "",
  });
}

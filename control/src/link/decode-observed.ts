import type { HostId } from "@aerodb/model";
import type { Hello } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import {
  type AuditReport,
  InstanceState,
  TenantState,
  type ObservedReport as WireReport,
  type UsageEvent as WireUsageEvent,
} from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { decodeTime } from "@aerodb/wire";
import type { HostAudit } from "../app/diagnosis.ts";
import type {
  HostHello,
  ObservedInstance,
  ObservedReport,
  ObservedTenant,
  UsageEvent,
} from "../app/fleet.ts";
import { decodeFacts } from "./decode-fingerprint.ts";
import { decodeProof } from "./decode-proofs.ts";

const INSTANCE_STATE: Readonly<Record<InstanceState, ObservedInstance["state"] | undefined>> = {
  [InstanceState.UNSPECIFIED]: undefined,
  [InstanceState.STARTING]: "starting",
  [InstanceState.RUNNING]: "running",
  [InstanceState.STOPPED]: "stopped",
  [InstanceState.FAILED]: "failed",
  [InstanceState.ABSENT]: "absent",
};

const TENANT_STATE: Readonly<Record<TenantState, ObservedTenant["state"] | undefined>> = {
  [TenantState.UNSPECIFIED]: undefined,
  [TenantState.READY]: "ready",
  [TenantState.SUSPENDED]: "suspended",
  [TenantState.FAILED]: "failed",
  [TenantState.ABSENT]: "absent",
};

/** Several reports in their order as one: of each thing what was said last. */
export function decodeReports(reports: readonly WireReport[]): ObservedReport {
  const instances = new Map<string, ObservedInstance>();
  const tenants = new Map<string, ObservedTenant>();
  const proofs = reports.flatMap((report) => report.proofs.flatMap(decodeProof));
  for (const report of reports) {
    for (const { $typeName: _, instanceId: id, state, ...seen } of report.instances) {
      const known = INSTANCE_STATE[state];
      if (known !== undefined) instances.set(id, { id, state: known, ...seen });
    }
    for (const { $typeName: _, tenantId: id, state, ...seen } of report.tenants) {
      const known = TENANT_STATE[state];
      if (known !== undefined) tenants.set(id, { id, state: known, ...seen });
    }
  }
  return { instances: [...instances.values()], tenants: [...tenants.values()], proofs };
}

/** Readings that say when they were taken; others cannot be billed and are dropped. */
export function decodeUsage(events: readonly WireUsageEvent[]): UsageEvent[] {
  return events.flatMap(({ sequence, meter, tenantId, value, startedAt, endedAt }) => {
    if (startedAt === undefined || endedAt === undefined) return [];
    const span = { startedAt: decodeTime(startedAt), endedAt: decodeTime(endedAt) };
    return [{ sequence, meter, tenantId, value, ...span }];
  });
}

/** Throws INVALID_ARGUMENT when the agent says nothing of its host. */
export function decodeHello(hello: Hello): HostHello {
  return {
    agentVersion: hello.agentVersion,
    edgeAddress: hello.edgeAddress,
    facts: decodeFacts(hello.fingerprint),
    generation: hello.generation,
  };
}

export function decodeAudit(hostId: HostId, report: AuditReport): HostAudit {
  return {
    hostId,
    instances: report.instances.map(({ instanceId: id, postmasterPid, listed, unreadable }) => ({
      id,
      postmasterPid,
      listed,
      unreadable,
    })),
    tenants: report.tenants.map(({ tenantId: id, instanceId, role, schema }) => ({
      id,
      instanceId,
      role,
      schema,
    })),
    strayProcesses: report.strayProcesses.map(({ pid, directory }) => ({ pid, directory })),
    strayPaths: report.strayPaths,
    trashPaths: report.trashPaths,
  };
}

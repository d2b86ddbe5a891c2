import type { HostId } from "@aerodb/model";
import type { Hello } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import {
  type AuditReport,
  InstanceState,
  TenantState,
  type ObservedReport as WireReport,
  type ServerEnd as WireServerEnd,
  type UsageEvent as WireUsageEvent,
} from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { decodeTime } from "@aerodb/wire";
import type { HostAudit } from "../app/diagnosis.ts";
import type {
  HostHello,
  ObservedInstance,
  ObservedReport,
  ObservedTenant,
  ServerEnd,
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

const NO_TIME = new Date(Number.NaN);

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
    for (const { $typeName: _, instanceId: id, state, ...rest } of report.instances) {
      const known = INSTANCE_STATE[state];
      const seen = { ...rest, lastEnd: rest.lastEnd && decodeEnd(rest.lastEnd) };
      if (known !== undefined) instances.set(id, { id, state: known, ...seen });
    }
    for (const { $typeName: _, tenantId: id, state, ...seen } of report.tenants) {
      const known = TENANT_STATE[state];
      if (known !== undefined) tenants.set(id, { id, state: known, ...seen });
    }
  }
  const diskFull = reports.at(-1)?.diskFull;
  return { instances: [...instances.values()], tenants: [...tenants.values()], proofs, diskFull };
}

function decodeEnd({ number, hung, reason }: WireServerEnd): ServerEnd {
  return { number, hung, reason };
}

/** Readings that say when they were taken; others cannot be billed and are dropped. */
/** A time that was left out is none: whoever judges the event refuses it. */
export function decodeUsage(events: readonly WireUsageEvent[]): UsageEvent[] {
  return events.map(({ sequence, meter, tenantId, value, startedAt, endedAt }) => ({
    ...{ sequence, meter, tenantId, value },
    startedAt: startedAt === undefined ? NO_TIME : decodeTime(startedAt),
    endedAt: endedAt === undefined ? NO_TIME : decodeTime(endedAt),
  }));
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
    instances: report.instances.map((each) => ({
      id: each.instanceId,
      postmasterPid: each.postmasterPid,
      listed: each.listed,
      unreadable: each.unreadable,
      foreign: each.foreign,
    })),
    tenants: report.tenants.map(({ tenantId: id, instanceId, role, schema }) => ({
      id,
      instanceId,
      role,
      schema,
    })),
    strayProcesses: report.strayProcesses.map(({ pid, directory }) => ({ pid, directory })),
    strayPaths: report.strayPaths,
    foreignPaths: report.foreignPaths,
    trashPaths: report.trashPaths,
  };
}

import {
  type DesiredInstanceSchema,
  type DesiredStateSchema,
  type DesiredTenantSchema,
  Presence,
} from "@aerodb/rpc/aerodb/agent/v1/desired_pb.js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DesiredInstance, DesiredState, DesiredTenant } from "../app/fleet.ts";
import { inParts } from "./parts.ts";

type Part = MessageInitShape<typeof DesiredStateSchema>;

/** Desired state as messages of bounded size: changes of shared tables first, one in each. */
export function encodeDesired(
  state: DesiredState,
  kind: { readonly whole: boolean; readonly baseGeneration: bigint },
): Part[] {
  const head = { generation: state.generation, ...kind };
  const changes = state.sharedTableChanges.map((change) => {
    return { ...head, more: true, sharedTableChanges: [change] };
  });
  const parts = inParts(state.instances, state.tenants).map(([instances, tenants, more]) => ({
    ...head,
    more,
    instances: instances.map(encodeInstance),
    tenants: tenants.map(encodeTenant),
  }));
  return [...changes, ...parts];
}

const PRESENCE = { present: Presence.PRESENT, absent: Presence.ABSENT } as const;

function encodeInstance(instance: DesiredInstance): MessageInitShape<typeof DesiredInstanceSchema> {
  return {
    instanceId: instance.id,
    generation: instance.generation,
    presence: PRESENCE[instance.presence],
    shared: instance.shared,
    engineMajor: instance.engineMajor,
    maxConnections: instance.maxConnections,
    memoryMib: instance.memoryMiB,
    cpuMillis: instance.cpuMillis,
    storageMib: instance.storageMiB,
    pidsLimit: instance.pidsLimit,
    importance: instance.importance,
    settings: instance.settings,
    restartGeneration: instance.restartGeneration,
    systemIdentifier: instance.systemIdentifier,
  };
}

function encodeTenant(tenant: DesiredTenant): MessageInitShape<typeof DesiredTenantSchema> {
  return {
    tenantId: tenant.id,
    generation: tenant.generation,
    presence: PRESENCE[tenant.presence],
    instanceId: tenant.instanceId,
    verifier: tenant.verifier,
    connectionLimit: tenant.connectionLimit,
    extensions: [...tenant.extensions],
    suspended: tenant.suspended,
    writesRefused: tenant.writesRefused,
  };
}

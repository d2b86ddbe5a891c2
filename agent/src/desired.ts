/**
 * What control wants on this host: as messages, as the ledger keeps it, and as the agent reads it.
 */
import { Fault, type InstanceId, isId, type TenantId } from "@aerodb/model";
import type { SharedTableChange } from "@aerodb/postgres";
import {
  DesiredInstanceSchema,
  type DesiredState,
  DesiredTenantSchema,
  Presence,
  SharedTableChangeSchema,
  type SharedTableChange as WireChange,
  type DesiredInstance as WireInstance,
  type DesiredTenant as WireTenant,
} from "@aerodb/rpc/aerodb/agent/v1/desired_pb.js";
import type { LedgerEntry } from "@aerodb/runtime";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { InstanceSpec } from "./instance-spec.ts";

/** An instance that should be, or should be no more. */
export interface DesiredInstance {
  readonly generation: bigint;
  readonly present: boolean;
  readonly spec: InstanceSpec;
  /** Whether it has served somebody: where its data is not there, it is not made anew. */
  readonly kept?: boolean;
}

/** A tenant that should be in an instance, or should be no more. */
export interface DesiredTenant {
  readonly tenantId: TenantId;
  readonly generation: bigint;
  readonly present: boolean;
  readonly instanceId: InstanceId;
  readonly verifier: string;
  readonly connectionLimit: number;
  /** Extensions that should be in its instance. */
  readonly extensions: readonly string[];
  /** Whether it may not log in, and should have no session. */
  readonly suspended: boolean;
  /** Whether it may add to nothing: what it stores is over its quota. */
  readonly writesRefused: boolean;
}

/** One thing on the host that is brought in line on its own. */
export type Subject =
  | { readonly kind: "instance"; readonly id: InstanceId }
  | { readonly kind: "tenant"; readonly id: TenantId };

export interface Desired {
  readonly instances: readonly DesiredInstance[];
  readonly tenants: readonly DesiredTenant[];
  /** Changes that every shared instance should have; none that is new when left out. */
  readonly changes?: readonly SharedTableChange[];
}

/** How the ledger calls a change of shared tables; its id is its number. */
const CHANGE = "shared_tables";

/** Reads a message. Refuses it whole when one id in it is none: ids become paths and names. */
export function decodeDesired(state: DesiredState): Desired {
  return {
    instances: state.instances.map(decodeInstance),
    tenants: state.tenants.map(decodeTenant),
    changes: state.sharedTableChanges.map(decodeChange),
  };
}

export function ledgerEntries(state: DesiredState): LedgerEntry[] {
  return [
    ...state.instances.map((instance) => ({
      kind: "instance",
      id: instance.instanceId,
      generation: instance.generation,
      // Which data it has is found out after it was told: that is no other thing to be told.
      body: toBinary(DesiredInstanceSchema, { ...instance, systemIdentifier: 0n }),
    })),
    ...state.tenants.map((tenant) => ({
      kind: "tenant",
      id: tenant.tenantId,
      generation: tenant.generation,
      body: toBinary(DesiredTenantSchema, tenant),
    })),
    ...state.sharedTableChanges.map((change) => ({
      kind: CHANGE,
      id: String(change.number),
      generation: change.generation,
      body: toBinary(SharedTableChangeSchema, change),
    })),
  ];
}

export function readLedgerEntries(entries: readonly LedgerEntry[]): Desired {
  const bodies = Map.groupBy(entries, ({ kind }) => kind);
  return {
    instances: (bodies.get("instance") ?? []).map(({ body }) =>
      decodeInstance(fromBinary(DesiredInstanceSchema, body)),
    ),
    tenants: (bodies.get("tenant") ?? []).map(({ body }) =>
      decodeTenant(fromBinary(DesiredTenantSchema, body)),
    ),
    changes: (bodies.get(CHANGE) ?? []).map(({ body }) =>
      decodeChange(fromBinary(SharedTableChangeSchema, body)),
    ),
  };
}

function decodeInstance(wire: WireInstance): DesiredInstance {
  return {
    generation: wire.generation,
    present: isPresent(wire.presence, wire.instanceId),
    kept: wire.systemIdentifier !== 0n,
    spec: {
      id: instanceId(wire.instanceId),
      shared: wire.shared,
      engineMajor: wire.engineMajor,
      maxConnections: wire.maxConnections,
      memoryMiB: wire.memoryMib,
      cpuMillis: wire.cpuMillis,
      storageMiB: wire.storageMib,
      pidsLimit: wire.pidsLimit,
      settings: wire.settings,
      importance: wire.importance,
      restartGeneration: wire.restartGeneration,
    },
  };
}

function decodeTenant(wire: WireTenant): DesiredTenant {
  if (!isId("ten", wire.tenantId)) throw refused(`${wire.tenantId} is no id of a tenant`);
  return {
    tenantId: wire.tenantId,
    generation: wire.generation,
    present: isPresent(wire.presence, wire.tenantId),
    instanceId: instanceId(wire.instanceId),
    verifier: wire.verifier,
    connectionLimit: wire.connectionLimit,
    extensions: wire.extensions,
    suspended: wire.suspended,
    writesRefused: wire.writesRefused,
  };
}

function decodeChange({ number, name, sql }: WireChange): SharedTableChange {
  return { number, name, sql };
}

function instanceId(text: string): InstanceId {
  if (!isId("ins", text)) throw refused(`${text} is no id of an instance`);
  return text;
}

function isPresent(presence: Presence, id: string): boolean {
  switch (presence) {
    case Presence.PRESENT:
      return true;
    case Presence.ABSENT:
      return false;
    case Presence.UNSPECIFIED:
      throw refused(`${id} neither should be nor should not be`);
  }
}

function refused(what: string): Fault {
  return new Fault("INVALID_ARGUMENT", `Desired state is refused: ${what}.`);
}

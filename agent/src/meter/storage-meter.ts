/** Measures what tenants store, from the sizes of files: no tenant's code runs for it. */
import { type InstanceId, messageOf, type TenantId } from "@aerodb/model";
import { UsageEventSchema } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { type Logger, now } from "@aerodb/runtime";
import { encodeTime } from "@aerodb/wire";
import { create, toBinary } from "@bufbuild/protobuf";
import type { InstanceDriver } from "../drivers/driver.ts";
import type { HostState } from "../host-state.ts";

export interface MeterPorts {
  readonly state: HostState;
  readonly driver: InstanceDriver;
  /** What the tenants of a shared instance take that have anything; undefined: not looked yet. */
  readonly tenantBytes: (id: InstanceId) => ReadonlyMap<TenantId, bigint> | undefined;
  readonly logger: Logger;
}

/** A reading that has not changed is repeated this seldom: a gauge holds until the next one. */
const REPEAT_AFTER_MS = 10 * 60_000;

interface Reading {
  readonly bytes: bigint;
  readonly atMs: number;
}

export class StorageMeter {
  readonly #ports: MeterPorts;
  #readings = new Map<TenantId, Reading>();

  constructor(ports: MeterPorts) {
    this.#ports = ports;
  }

  /** Takes one reading per tenant. Returns usage events of those that are news. */
  async read(): Promise<readonly Uint8Array[]> {
    const { state } = this.#ports;
    const bodies: Uint8Array[] = [];
    const readings = new Map<TenantId, Reading>();
    for (const { spec, present } of [...state.instances()]) {
      if (!present) continue;
      for (const [tenantId, bytes] of await this.#tenantsIn(spec)) {
        const at = now();
        const before = this.#readings.get(tenantId);
        const repeats = before?.bytes === bytes && at.getTime() - before.atMs < REPEAT_AFTER_MS;
        readings.set(tenantId, repeats ? before : { bytes, atMs: at.getTime() });
        if (!repeats) bodies.push(encodeReading(tenantId, bytes, at));
      }
    }
    this.#readings = readings;
    return bodies;
  }

  /** All of a dedicated instance is its tenant's. */
  async #tenantsIn(spec: {
    readonly id: InstanceId;
    readonly shared: boolean;
  }): Promise<readonly (readonly [TenantId, bigint])[]> {
    const { state, tenantBytes } = this.#ports;
    const tenants = [...state.tenantsOf(spec.id)];
    if (tenants.length === 0) return [];
    if (spec.shared) {
      const sizes = tenantBytes(spec.id);
      if (sizes === undefined) return [];
      // Who dropped all that it had is not among them, and has nothing.
      return tenants.map((id) => [id, sizes.get(id) ?? 0n] as const);
    }
    const bytes = await this.#bytesOf(spec.id);
    return bytes === undefined ? [] : tenants.map((id) => [id, bytes] as const);
  }

  async #bytesOf(id: InstanceId): Promise<bigint | undefined> {
    try {
      return await this.#ports.driver.storageBytes(id);
    } catch (error) {
      this.#ports.logger.warn({ instance: id, because: messageOf(error) }, "could not measure");
      return undefined;
    }
  }
}

function encodeReading(tenantId: TenantId, bytes: bigint, at: Date): Uint8Array {
  const time = encodeTime(at);
  return toBinary(
    UsageEventSchema,
    create(UsageEventSchema, {
      meter: "storage_bytes",
      tenantId,
      value: bytes,
      startedAt: time,
      endedAt: time,
    }),
  );
}

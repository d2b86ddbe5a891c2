/**
 * Adds up what instances of tenants' own take, for bills: whole units, and the rest the next time.
 */
import type { InstanceId, Meter, Readings } from "@aerodb/model";
import { UsageEventSchema } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { deadlineIn, monotonicMs, now } from "@aerodb/runtime";
import { encodeTime } from "@aerodb/wire";
import { create, toBinary } from "@bufbuild/protobuf";
import type { HostState } from "../host-state.ts";

const RESOURCES = ["cpu_seconds", "memory_mib_seconds", "wal_bytes", "active_seconds"] as const;
type Resource = Extract<Meter, (typeof RESOURCES)[number]>;

const MIB = 2 ** 20;

export class ResourceMeter {
  readonly #state: Pick<HostState, "instance" | "tenantsOf">;
  /** What was taken since the last reading, by instance. */
  readonly #taken = new Map<InstanceId, Record<Resource, number>>();
  #readAtMs = monotonicMs();

  constructor(state: Pick<HostState, "instance" | "tenantsOf">) {
    this.#state = state;
  }

  /** An instance ran for so long and took that much. What is shared is nobody's own. */
  take(id: InstanceId, seconds: number, readings: Readings): void {
    if (this.#state.instance(id)?.spec.shared !== false) return;
    const taken = this.#taken.get(id) ?? {
      ...{ cpu_seconds: 0, memory_mib_seconds: 0, wal_bytes: 0, active_seconds: 0 },
    };
    taken.cpu_seconds += readings.cpu_seconds ?? 0;
    taken.memory_mib_seconds += ((readings.memory_bytes ?? 0) / MIB) * seconds;
    taken.wal_bytes += readings.wal_bytes ?? 0;
    taken.active_seconds += seconds;
    this.#taken.set(id, taken);
  }

  /** Usage events of what was taken since the last call. */
  read(): Uint8Array[] {
    const readAtMs = monotonicMs();
    const startedAt = encodeTime(deadlineIn(this.#readAtMs - readAtMs));
    const endedAt = encodeTime(now());
    this.#readAtMs = readAtMs;
    const events: Uint8Array[] = [];
    for (const [id, taken] of this.#taken) {
      const [tenantId] = this.#state.tenantsOf(id);
      if (tenantId === undefined) {
        this.#taken.delete(id);
        continue;
      }
      for (const meter of RESOURCES) {
        const value = Math.floor(taken[meter]);
        if (value === 0) continue;
        taken[meter] -= value;
        const event = { meter, tenantId, value: BigInt(value), startedAt, endedAt };
        events.push(toBinary(UsageEventSchema, create(UsageEventSchema, event)));
      }
    }
    return events;
  }
}

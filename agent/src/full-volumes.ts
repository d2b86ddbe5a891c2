/**
 * Gives the ballast of volumes that are full, so that their tenants can truncate, drop and vacuum,
 * and takes it back once there is room again. Meanwhile tenants' writes are refused: what was given
 * would be written full at once. What deletes and vacuums is not refused, and needs no special
 * words.
 */
import { type InstanceId, messageOf } from "@aerodb/model";
import type { Logger } from "@aerodb/runtime";
import type { InstanceDriver, RunningInstance } from "./drivers/driver.ts";
import type { HostState } from "./host-state.ts";
import type { InstanceSpec } from "./instance-spec.ts";
import { MIB } from "./storage/volume.ts";

export interface VolumePorts {
  readonly state: HostState;
  readonly driver: Pick<
    InstanceDriver,
    "volumeFreeBytes" | "releaseBallast" | "restoreBallast" | "storageBytes"
  >;
  /** Whether nobody uses an instance: then its volume fills no further. */
  readonly isIdle: (id: InstanceId) => boolean;
  readonly logger: Logger;
}

/** With less than this a statement that makes a file may fail. */
const FULL_BYTES = 2 * MIB;
/** Writes are accepted again once this part of the limit is free, or so much. */
const ROOM_PART = 1 / 20;
const MOST_ROOM_BYTES = 256 * MIB;
/** How many looks the ballast waits for writes to be refused, where that does not succeed. */
const PATIENCE = 5;

interface Full {
  /** Why writes are refused. */
  readonly because: string;
  looks: number;
  released: boolean;
}

export class FullVolumes {
  readonly #ports: VolumePorts;
  readonly #full = new Map<InstanceId, Full>();
  readonly #looked = new WeakSet<RunningInstance>();

  constructor(ports: VolumePorts) {
    this.#ports = ports;
  }

  /** Why an instance should refuse writes; undefined when its volume has room, or it has none. */
  reasonOf(id: InstanceId): string | undefined {
    return this.#full.get(id)?.because;
  }

  /** Gives an instance its ballast that has refused writes by now. */
  async look(spec: InstanceSpec, running: RunningInstance): Promise<void> {
    const { id } = spec;
    const full = this.#full.get(id);
    // Another agent may have given the ballast: each server is looked at once at least.
    if (full === undefined && this.#looked.has(running) && this.#ports.isIdle(id)) return;
    try {
      await this.#tend(spec, full);
      this.#looked.add(running);
    } catch (error) {
      this.#ports.logger.warn({ instance: id, because: messageOf(error) }, "could not tend volume");
    }
  }

  /** An instance is there no more, or what held it. */
  forget(id: InstanceId): void {
    this.#full.delete(id);
  }

  async #tend(spec: InstanceSpec, full: Full | undefined): Promise<void> {
    const { driver, logger } = this.#ports;
    const { id } = spec;
    const freeBytes = await driver.volumeFreeBytes(id);
    if (freeBytes === undefined) return this.forget(id);
    if (freeBytes >= (full === undefined ? FULL_BYTES : roomOf(spec))) {
      if (!(await driver.restoreBallast(id)) || full === undefined) return;
      logger.info({ instance: id }, "its volume has room again");
      return this.forget(id);
    }
    if (full === undefined) {
      this.#full.set(id, { because: reasonFor(spec), looks: 0, released: false });
      return;
    }
    full.looks += 1;
    if (full.released || (full.looks < PATIENCE && !this.#refusesWrites(id))) return;
    const bytes = await driver.releaseBallast(id);
    full.released = true;
    logger.warn({ instance: id, givenMiB: Math.floor(bytes / MIB) }, "its volume is full");
  }

  /** Whether that is in force already, and who wrote before has ended. */
  #refusesWrites(id: InstanceId): boolean {
    const { state } = this.#ports;
    const listed = state.seen(id)?.tenants;
    return [...state.tenantsOf(id)].every((tenantId) => {
      const tenant = listed?.get(tenantId);
      return tenant === undefined || (tenant.writesRefused && tenant.earlierWriters === 0);
    });
  }
}

/** Clearly more than is full, or a volume would be full again at once. */
function roomOf({ storageMiB }: InstanceSpec): number {
  return Math.max(FULL_BYTES, Math.min(storageMiB * MIB * ROOM_PART, MOST_ROOM_BYTES));
}

function reasonFor({ storageMiB }: InstanceSpec): string {
  return (
    `Read-only: its data fills the ${storageMiB} MiB of its plan. Truncate or drop what is not ` +
    "needed, delete and VACUUM, or choose a larger plan: writes are accepted again once there is " +
    "room."
  );
}

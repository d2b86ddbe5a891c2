/**
 * Has instances begin their transactions read-only while hardly any room is left: all of them when
 * the host's disk has begun its reserve, where one more segment of WAL may be one too many for
 * everybody; one alone when its data reached a limit that no file system of its own holds. What
 * makes room begins with READ WRITE. That is advice: writes are refused inside Postgres once half
 * of the reserve is gone all the same, and where a volume is full.
 */
import { type InstanceId, messageOf } from "@aerodb/model";
import type { Subject } from "./desired.ts";
import type { RunningInstance } from "./drivers/driver.ts";
import { FullVolumes, type VolumePorts } from "./full-volumes.ts";
import type { InstanceSpec } from "./instance-spec.ts";
import type { HostDisk } from "./storage/host-reserve.ts";
import { MIB } from "./storage/volume.ts";

export interface FillPorts extends VolumePorts {
  readonly hostDisk: () => Promise<HostDisk>;
  /** Brings an instance in line again. */
  readonly look: (subject: Subject) => void;
  /** Told when all of the host turns read-only, and back. */
  readonly hostTurned: () => void;
}

/** Writing begins again once this part of the reserve, or of a limit, is free besides it. */
const HOST_ROOM = 1 / 4;
const OWN_ROOM = 1 / 20;
/** Writes are refused once this part of the reserve was written to. */
const OVERRUN = 1 / 2;
const OVERRUN_REASON = "Read-only: the disk of its host is nearly full.";
const HELP = "What makes room may begin with BEGIN READ WRITE";

export class FillWatch {
  readonly #ports: FillPorts;
  readonly #full = new Set<InstanceId>();
  readonly #volumes: FullVolumes;
  #hostIsFull = false;
  #hostIsOverrun = false;

  constructor(ports: FillPorts) {
    this.#ports = ports;
    this.#volumes = new FullVolumes(ports);
  }

  /** Whether no instance of the host takes writes, because its disk is nearly full. */
  get hostIsFull(): boolean {
    return this.#hostIsFull;
  }

  /** Looks at the host's disk: one question to the kernel. Never rejects. */
  async checkHost(): Promise<void> {
    const { hostDisk, hostTurned, logger } = this.#ports;
    const wasFull = this.#hostIsFull;
    try {
      const { freeBytes, reserveBytes } = await hostDisk();
      this.#hostIsFull = freeBytes <= (wasFull ? reserveBytes * HOST_ROOM : 0);
      // Until there is room again: who is refused now would write on at once.
      const isOverrun = this.#hostIsOverrun || freeBytes <= -reserveBytes * OVERRUN;
      this.#hostIsOverrun = this.#hostIsFull && isOverrun;
      if (this.#hostIsFull !== wasFull) {
        const said = wasFull ? "there is room again" : "the disk is nearly full: writes stop";
        logger.warn({ freeMiB: Math.floor((freeBytes + reserveBytes) / MIB) }, said);
        hostTurned();
      }
    } catch (error) {
      logger.warn({ because: messageOf(error) }, "could not look at the disk");
    }
    // Instances may have come since.
    if (this.#hostIsFull || wasFull) this.#apply();
  }

  /** Looks at what is stored of instances whose limit nothing else holds. Never rejects. */
  async checkInstances(): Promise<void> {
    const { state, driver, logger } = this.#ports;
    for (const { spec, present } of [...state.instances()]) {
      const walls = state.seen(spec.id)?.running?.walls;
      // A server that is down writes nothing, and comes back as it was.
      if (present && walls === undefined) continue;
      if (!present || !isSoft(spec, walls)) {
        this.#full.delete(spec.id);
        continue;
      }
      try {
        const used = Number((await driver.storageBytes(spec.id)) ?? 0n);
        const most = spec.storageMiB * MIB * (this.#full.has(spec.id) ? 1 - OWN_ROOM : 1);
        if (used >= most) this.#full.add(spec.id);
        else this.#full.delete(spec.id);
      } catch (error) {
        logger.warn({ instance: spec.id, because: messageOf(error) }, "could not measure");
      }
    }
    this.#apply();
  }

  /**
   * Looks at the volumes of instances, of those alone that are used. `runningOf`: the servers,
   * where they are not seen yet. Never rejects.
   */
  async checkVolumes(
    runningOf: (id: InstanceId) => RunningInstance | undefined = (id) =>
      this.#ports.state.seen(id)?.running,
  ): Promise<void> {
    for (const { spec, present } of [...this.#ports.state.instances()]) {
      const running = runningOf(spec.id);
      // A server that is down writes nothing, and comes back as it was.
      if (present && running === undefined) continue;
      if (!present || running === undefined || isSoft(spec, running.walls)) {
        this.#volumes.forget(spec.id);
      } else if (spec.storageMiB > 0) await this.#volumes.look(spec, running);
    }
    this.#apply();
  }

  #apply(): void {
    const { state, look } = this.#ports;
    for (const { spec } of [...state.instances()]) {
      const { id } = spec;
      const isReadOnly = state.setReadOnly(id, this.#reasonOf(spec));
      const isRefusing = state.setWritesRefused(id, this.#refusalOf(id));
      if (isReadOnly || isRefusing) look({ kind: "instance", id });
      if (!isRefusing) continue;
      for (const tenantId of state.tenantsOf(id)) look({ kind: "tenant", id: tenantId });
    }
  }

  #refusalOf(id: InstanceId): string | undefined {
    return this.#hostIsOverrun ? OVERRUN_REASON : this.#volumes.reasonOf(id);
  }

  #reasonOf({ id, storageMiB }: InstanceSpec): string | undefined {
    if (this.#hostIsFull) return `Read-only: the disk of its host is nearly full. ${HELP}.`;
    if (!this.#full.has(id)) return undefined;
    const limit = `Read-only: its data has reached the ${storageMiB} MiB of its plan`;
    return `${limit}. ${HELP}, or choose a larger plan.`;
  }
}

/** Whether an instance has a limit, and no volume that holds it. */
function isSoft({ storageMiB }: InstanceSpec, walls: readonly string[] = []): boolean {
  return storageMiB > 0 && !walls.some((each) => each.startsWith("storage:"));
}

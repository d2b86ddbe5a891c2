/**
 * What placing decides on: a host and a shared instance as they stand, and what is asked of them.
 */
import type { HostId, InstanceId, Isolation } from "@aerodb/model";

export interface HostView {
  readonly id: HostId;
  readonly name: string;
  readonly connected: boolean;
  readonly cordoned: boolean;
  readonly capacityMemoryMiB: number;
  readonly capacityCpuMillis: number;
  readonly reservedMemoryMiB: number;
  readonly reservedCpuMillis: number;
  /** Engines the host can run, for example `18.4`. */
  readonly engines: readonly string[];
  /** Those it has and may not run, each with its floor, for example `18.3 (floor 18.4)`. */
  readonly enginesUnderFloor: readonly string[];
  readonly capabilities: readonly string[];
  /** Of the file system that holds the instances; null when its agent did not tell. */
  readonly storageMiB: number | null;
  readonly freeStorageMiB: number | null;
}

export interface SharedInstanceView {
  readonly id: InstanceId;
  readonly hostId: HostId;
  readonly running: boolean;
  readonly tenantCount: number;
  readonly maxTenants: number;
}

/** What an instance needs of the host it is placed on. */
export interface Ask {
  readonly isolation: Isolation;
  readonly memoryMiB: number;
  readonly cpuMillis: number;
  /** The most its data may take; 0: no limit. */
  readonly storageMiB: number;
  /** What the host must be able to do. */
  readonly requiredCapabilities: readonly string[];
}

/** What a shared instance reserves and holds, whoever its tenants are. */
export const SHARED_INSTANCE = {
  memoryMiB: 512,
  cpuMillis: 500,
  maxConnections: 400,
  maxTenants: 5_000,
  storageMiB: 0,
  pidsLimit: 0,
  /** Above every plan's: many tenants wait for it. */
  importance: 400,
} as const;

/**
 * How often processor time may be promised. Memory in use cannot be taken back, a core's next
 * millisecond can: what a tenant does not use is another's, and the promise is a share under load.
 */
export const CPU_OVERCOMMIT = 10;

/**
 * What is left free of a host's disk, so that what is there can grow; agents keep as much back.
 * Storage is promised without regard to what there is, for hardly any tenant uses what it may; what
 * counts is what is measured.
 */
export function storageReserveMiB(storageMiB: number): number {
  return Math.min(Math.ceil(storageMiB * 0.05), 2_048);
}

/** What a new instance takes of the disk before anybody uses it. */
export const NEW_INSTANCE_STORAGE_MIB = 64;

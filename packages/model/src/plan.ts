import type { PlanName } from "./ids.ts";
import type { Isolation } from "./tenant.ts";

/** One commercial offer. A quota that is undefined is unlimited. */
export interface Plan {
  readonly name: PlanName;
  readonly isolations: readonly Isolation[];
  readonly defaultIsolation: Isolation;
  readonly storageBytes: bigint | undefined;
  readonly apiRequestsPerMonth: bigint | undefined;
  readonly fileStorageBytes: bigint | undefined;
  readonly realtimeConnections: bigint | undefined;
  /** Connections one tenant may hold at once. */
  readonly connectionLimit: number;
  /** What a dedicated instance reserves on its host. */
  readonly memoryMiB: number;
  readonly cpuMillis: number;
  /** The most a dedicated instance's data may take; 0: no limit. */
  readonly storageMiB: number;
  /** Processes a dedicated instance may have; 0: as many as its connections need. */
  readonly pidsLimit: number;
  /** Whose instances a host starts first when it has many to start: higher is sooner. */
  readonly importance: number;
  /** What hosts of its tenants must be able to do. */
  readonly requiredCapabilities: readonly string[];
  readonly basePriceMicroUsd: bigint;
}

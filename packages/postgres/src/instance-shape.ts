/** What an instance is for, and how large it may be: all that its configuration follows from. */
export interface InstanceShape {
  readonly kind: "shared" | "dedicated" | "catalogue";
  readonly engineMajor: number;
  /** Connections for tenants (for control, in the catalogue), the platform's own not counted. */
  readonly maxConnections: number;
  readonly memoryMiB: number;
  /** Thousandths of a core; one core when left out. */
  readonly cpuMillis?: number;
  /** Whether a standby may attach. Costs some 2 MB while idle, so only on demand. */
  readonly replication?: boolean;
  /** Whether transactions begin read-only, unless they say otherwise. */
  readonly readOnly?: boolean;
  /** What its tenant chose: of it, what `tenant-settings.ts` allows is rendered. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Kept for the platform's own sessions when tenants hold all others. */
export const PLATFORM_CONNECTIONS = 5;
/** How many of them are kept for the login that measures. */
export const METER_CONNECTIONS = 2;

/** What one process may take of a server's memory; where many tenants are, it takes several. */
const BACKEND_PART = 2;
const SHARED_BACKEND_PART = 8;
export const LEAST_BACKEND_MIB = 64;

/** What one process of a server may have of memory of its own, in MiB. */
export function backendMemoryMiB(of: {
  readonly memoryMiB: number;
  readonly shared: boolean;
}): number {
  const part = of.shared ? SHARED_BACKEND_PART : BACKEND_PART;
  return Math.max(LEAST_BACKEND_MIB, Math.floor(of.memoryMiB / part));
}

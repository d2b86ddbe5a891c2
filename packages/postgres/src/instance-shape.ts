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

/**
 * What every use case of control stands on. Each file of this folder holds the use cases of one
 * noun; they check, decide and write desired state, and wait for what is observed. They speak no
 * wire.
 */
import type { Database } from "@aerodb/db";
import type { Logger } from "@aerodb/runtime";
import type { Changes } from "./changes.ts";

export interface Control {
  readonly database: Database;
  readonly changes: Changes;
  readonly acknowledgements: RouteAcknowledgements;
  readonly settings: ControlSettings;
  readonly logger: Logger;
}

export interface ControlSettings {
  /** Tenants' HTTP endpoints are `https://<name>.<base domain>`. */
  readonly baseDomain: string;
  /** Where tenants' Postgres clients reach the gateway. */
  readonly publicHost: string;
  readonly publicPort: number;
  readonly publicPooledPort: number;
  /** How long a caller waits for a create, a deletion or a rotation. 30 s when left out. */
  readonly waitMs?: number;
  /** Instances of each shape that a host keeps running for tenants to come. None when left out. */
  readonly warmInstances?: number;
  /** How long an operation may take until it is given up. 10 minutes when left out. */
  readonly operationMs?: number;
}

/** What gateways have taken in. Filled by the link to the gateways. */
export interface RouteAcknowledgements {
  /**
   * Resolves once every gateway that is connected here lets new connections follow the routes of
   * this generation; at once when none is connected. Rejects with the signal's reason.
   */
  covers(generation: bigint, signal: AbortSignal): Promise<void>;
}

/** Who asks. */
export interface Caller {
  /** Id of the API key, or `system`. Goes into events; a request id belongs to it. */
  readonly principal: string;
  /** Id of the API request, for events; not the idempotency key. */
  readonly requestId: string;
}

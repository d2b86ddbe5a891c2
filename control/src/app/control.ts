/**
 * What every use case of control stands on. Each file of this folder holds the use cases of one
 * noun; they check, decide and write desired state, and wait for what is observed. They speak no
 * wire.
 */
import type { Database } from "@aerodb/db";
import type { Logger } from "@aerodb/runtime";
import type { Changes } from "./changes.ts";
import type { PaymentProvider } from "./payment-provider.ts";

export interface Control {
  readonly database: Database;
  readonly changes: Changes;
  readonly acknowledgements: RouteAcknowledgements;
  readonly settings: ControlSettings;
  /** Who collects what invoices ask for; undefined: nobody, by way of the platform. */
  readonly payments?: PaymentProvider;
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
  /** How long after a month its invoices are closed. 3 days when left out. */
  readonly invoiceGraceDays?: number;
  /** How long nobody may get through to a tenant without an alert. A minute when left out. */
  readonly unreachableSeconds?: number;
  /** After how long at a quota a tenant is suspended. Never when left out. */
  readonly quotaGraceSeconds?: number;
  /** Who bills, as it stands on invoices. The base domain when left out. */
  readonly invoiceIssuer?: string;
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

import type { TenantTraffic } from "../traffic.ts";

/** What one connection carries: counted for itself and for its tenant. */
export class ConnectionTraffic {
  readonly #tenant: TenantTraffic;
  /** From the client. */
  ingressBytes = 0;
  /** To the client. */
  egressBytes = 0;
  transactions = 0;

  constructor(tenant: TenantTraffic) {
    this.#tenant = tenant;
    tenant.opened();
  }

  received(bytes: number): void {
    this.ingressBytes += bytes;
    this.#tenant.ingressBytes += bytes;
  }

  sent(bytes: number): void {
    this.egressBytes += bytes;
    this.#tenant.egressBytes += bytes;
  }

  transactionEnded(): void {
    this.transactions += 1;
    this.#tenant.transactions += 1;
  }

  /** It was ended because it was idle for too long, outside of a transaction or in one. */
  idledOut(where: "outside" | "inside"): void {
    if (where === "outside") this.#tenant.idleTimeouts += 1;
    else this.#tenant.idleInTransactionTimeouts += 1;
  }

  closed(): void {
    this.#tenant.closed();
  }
}

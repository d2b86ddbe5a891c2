/**
 * What one tenant, or one address, may take of a gateway. An address may be a whole company behind
 * one router, so what it may is much; who wants none of it sets 0.
 */
import type { ServerReport } from "@aerodb/postgres";
import { monotonicMs } from "@aerodb/runtime";

export interface LimitSettings {
  /** Connections of one address that have not proven yet who they are; 0: as many as it likes. */
  readonly halfOpenPerSource: number;
  /** New connections of one address in a second; twice as many at once; 0: any. */
  readonly ratePerSource: number;
  /** Logins of one tenant in a second; twice as many at once; 0: any. */
  readonly ratePerTenant: number;
}

/** Why those are refused who have not proven who they are. */
export type StrangerRefusal = "half_open" | "rate" | "late";

const SECOND_MS = 1_000;
/** Those that have all that they may are not remembered. */
const FORGET_MS = 10_000;

export class Limits {
  /** How many strangers were refused since the gateway came up. No tenant is to blame for them. */
  readonly strangersRefused: Record<StrangerRefusal, number> = { half_open: 0, rate: 0, late: 0 };
  readonly #settings: LimitSettings;
  readonly #halfOpen = new Map<string, number>();
  readonly #sources: Rates;
  readonly #tenants: Rates;

  constructor(settings: LimitSettings) {
    this.#settings = settings;
    this.#sources = new Rates(settings.ratePerSource);
    this.#tenants = new Rates(settings.ratePerTenant);
  }

  /** Why a connection from an address is refused before it has said anything. */
  refusalOfSource(address: string): ServerReport | undefined {
    const { halfOpenPerSource: most } = this.#settings;
    if (most > 0 && (this.#halfOpen.get(address) ?? 0) >= most) {
      this.strangersRefused.half_open += 1;
      return tooMany(`${most} connections of this address have not logged in yet`);
    }
    if (this.#sources.take(address)) return undefined;
    this.strangersRefused.rate += 1;
    return tooMany("this address opens connections too quickly");
  }

  /** Why a login of a tenant is refused. */
  refusalOfTenant(tenantId: string): ServerReport | undefined {
    if (this.#tenants.take(tenantId)) return undefined;
    return tooMany("this tenant opens connections too quickly: keep them open, or use a pool");
  }

  /** A connection of an address begins to say who it is. To be called back once it has. */
  enter(address: string): () => void {
    this.#halfOpen.set(address, (this.#halfOpen.get(address) ?? 0) + 1);
    return () => {
      const left = (this.#halfOpen.get(address) ?? 1) - 1;
      if (left > 0) this.#halfOpen.set(address, left);
      else this.#halfOpen.delete(address);
    };
  }
}

/** How often each may, by a bucket that fills with time. */
class Rates {
  readonly #perSecond: number;
  readonly #buckets = new Map<string, { left: number; atMs: number }>();
  #sweptMs = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  take(name: string): boolean {
    if (this.#perSecond === 0) return true;
    const nowMs = monotonicMs();
    this.#sweep(nowMs);
    const most = 2 * this.#perSecond;
    const bucket = this.#buckets.get(name) ?? { left: most, atMs: nowMs };
    const filled = bucket.left + ((nowMs - bucket.atMs) / SECOND_MS) * this.#perSecond;
    bucket.left = Math.min(most, filled);
    bucket.atMs = nowMs;
    this.#buckets.set(name, bucket);
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }

  #sweep(nowMs: number): void {
    if (nowMs - this.#sweptMs < FORGET_MS) return;
    this.#sweptMs = nowMs;
    for (const [name, { atMs }] of this.#buckets) {
      if (nowMs - atMs >= FORGET_MS) this.#buckets.delete(name);
    }
  }
}

function tooMany(why: string): ServerReport {
  return { severity: "FATAL", sqlState: "53300", message: `too many connections: ${why}` };
}

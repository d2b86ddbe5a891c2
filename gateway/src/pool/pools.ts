/** The pools of tenants: one for each tenant and key, and never one for two tenants. */
import { parseScramVerifier, type ScramKeys, type ServerReport } from "@aerodb/postgres";
import { type Route, RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { every } from "@aerodb/runtime";
import type { RouteTable } from "../routes.ts";
import { SHUTTING_DOWN } from "../wire/listener.ts";
import { farewellOf, refusalOf } from "../wire/refusals.ts";
import { Pool, type PoolSettings } from "./pool.ts";

const TRIM_MS = 5_000;
/** Servers that nobody needed for so long are given back. */
const IDLE_MS = 30_000;
const CHANGED: ServerReport = {
  severity: "FATAL",
  sqlState: "57P01",
  message: "terminating connection: the tenant's password or place has changed, connect again",
};

export class Pools {
  readonly #settings: PoolSettings;
  readonly #byTenant = new Map<string, Pool[]>();
  readonly #stopping = new AbortController();
  #idleMs = IDLE_MS;

  constructor(routes: Pick<RouteTable, "onRoute">, settings: PoolSettings) {
    this.#settings = settings;
    routes.onRoute((route) => this.#follow(route));
    every(TRIM_MS, () => this.#trim(), this.#stopping.signal);
  }

  /** The pool of who has shown a key. */
  of(route: Route, keys: ScramKeys): Pool {
    const pools = this.#byTenant.get(route.tenantId) ?? [];
    const held = pools.find((pool) => isFor(pool, keys));
    if (held !== undefined) return held;
    const pool = new Pool(route, keys, this.#settings);
    this.#byTenant.set(route.tenantId, [...pools, pool]);
    return pool;
  }

  /** Keeps no servers for clients to come: the tenant may need its connections elsewhere. */
  drain(): void {
    this.#idleMs = 0;
    this.#trim();
  }

  /** Ends the servers of a tenant that nobody uses. Returns whether there was one. */
  makeRoom(tenantId: string): boolean {
    const ended = (this.#byTenant.get(tenantId) ?? []).map((pool) => pool.trim(0));
    return ended.some((count) => count > 0);
  }

  close(): void {
    this.#stopping.abort();
    for (const pools of this.#byTenant.values())
      for (const pool of pools) pool.close(SHUTTING_DOWN);
  }

  /** Ends what a route does not lead to any more. */
  #follow(route: Route): void {
    const pools = this.#byTenant.get(route.tenantId);
    if (pools === undefined) return;
    const kept = pools.filter((pool) => leadsTo(route, pool));
    const refusal = refusalOf(route);
    const because = refusal === undefined ? CHANGED : farewellOf(refusal);
    for (const pool of pools) if (!kept.includes(pool)) pool.close(because);
    this.#keep(route.tenantId, kept);
  }

  #trim(): void {
    for (const [tenantId, pools] of this.#byTenant) {
      for (const pool of pools) pool.trim(this.#idleMs);
      const [kept, unused] = [pools.filter(isUsed), pools.filter((pool) => !isUsed(pool))];
      for (const pool of unused) pool.close(SHUTTING_DOWN);
      this.#keep(tenantId, kept);
    }
  }

  #keep(tenantId: string, pools: Pool[]): void {
    if (pools.length === 0) this.#byTenant.delete(tenantId);
    else this.#byTenant.set(tenantId, pools);
  }
}

function isUsed({ size, clients }: Pool): boolean {
  return size + clients > 0;
}

function isFor({ closed, keys }: Pool, { verifier }: ScramKeys): boolean {
  return !closed && keys.verifier.storedKey.equals(verifier.storedKey);
}

function leadsTo({ state, instanceId, verifiers }: Route, pool: Pool): boolean {
  if (state !== RouteState.ACTIVE || instanceId !== pool.instanceId) return false;
  const { storedKey } = pool.keys.verifier;
  return verifiers.some((text) => parseScramVerifier(text)?.storedKey.equals(storedKey) === true);
}

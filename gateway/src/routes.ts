/**
 * Where tenants are. Control tells; the table is kept on disk as well, so that a gateway that
 * starts while control is down serves every tenant it ever heard of. Routes are known by tenant id:
 * a name is free again after a deletion, so it may pass from one tenant to another.
 */
import { rmSync } from "node:fs";
import { Fault } from "@aerodb/model";
import {
  type Endpoint,
  EndpointSchema,
  type Route,
  RouteSchema,
  RouteState,
} from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { Ledger, type LedgerEntry, Waiters } from "@aerodb/runtime";
import { fromBinary, toBinary } from "@bufbuild/protobuf";

/** Everything that one generation of the table brings. */
export interface RouteUpdate {
  readonly generation: bigint;
  /** Whether what is not listed is gone. */
  readonly whole: boolean;
  readonly routes: readonly Route[];
  readonly endpoints: readonly Endpoint[];
}

/**
 * Which of several tenants a name means: one that serves, before one that comes, before one that
 * goes.
 */
const PRECEDENCE: Readonly<Record<RouteState, number>> = {
  [RouteState.ACTIVE]: 3,
  // They keep their names.
  [RouteState.SUSPENDED]: 3,
  [RouteState.QUARANTINED]: 3,
  [RouteState.CREATING]: 2,
  [RouteState.DELETING]: 1,
  [RouteState.GONE]: 0,
  [RouteState.UNSPECIFIED]: 0,
};

export class RouteTable {
  readonly #path: string;
  #ledger: Ledger;
  readonly #routes = new Map<string, Route>();
  readonly #tenantsByName = new Map<string, Set<string>>();
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #changes = new Waiters();
  readonly #listeners: ((route: Route) => void)[] = [];
  readonly #endpointListeners: ((endpoint: Endpoint) => void)[] = [];

  /** Opens the copy at a path, or starts empty. */
  constructor(path: string) {
    this.#path = path;
    this.#ledger = new Ledger(path);
    for (const { kind, body } of this.#ledger.entries()) {
      if (kind === "route") this.#keepRoute(fromBinary(RouteSchema, body));
      if (kind === "endpoint") this.#keepEndpoint(fromBinary(EndpointSchema, body));
    }
  }

  /** Generation that new connections follow. */
  get generation(): bigint {
    return this.#ledger.generation;
  }

  /** Every route. */
  all(): Iterable<Route> {
    return this.#routes.values();
  }

  byTenantId(tenantId: string): Route | undefined {
    return this.#routes.get(tenantId);
  }

  byName(name: string): Route | undefined {
    let best: Route | undefined;
    for (const tenantId of this.#tenantsByName.get(name) ?? []) {
      const route = this.#routes.get(tenantId);
      if (route !== undefined && (best === undefined || precedes(route, best))) best = route;
    }
    return best;
  }

  /** How to reach an instance, as far as that is known. */
  knownEndpoint(instanceId: string): Endpoint | undefined {
    return this.#endpoints.get(instanceId);
  }

  /** How to reach an instance; waits until that is known or the signal is aborted. */
  endpoint(instanceId: string, signal: AbortSignal): Promise<Endpoint> {
    return this.#changes.until(
      instanceId,
      () => Promise.resolve(this.#endpoints.get(instanceId)),
      signal,
    );
  }

  /** Calls back for every route that is told of, before the generation counts as followed. */
  onRoute(listener: (route: Route) => void): void {
    this.#listeners.push(listener);
  }

  /** The same for endpoints, and at once for those that are known. */
  onEndpoint(listener: (endpoint: Endpoint) => void): void {
    this.#endpointListeners.push(listener);
    for (const endpoint of this.#endpoints.values()) listener(endpoint);
  }

  /** Takes in one generation. Throws SUPERSEDED for a change that is older than the table. */
  take(update: RouteUpdate): void {
    const routes = update.routes.filter((route) => route.state !== RouteState.GONE);
    const endpoints = update.endpoints.filter((endpoint) => !isForgotten(endpoint));
    const entries = [...routes.map(routeEntry), ...endpoints.map(endpointEntry)].map((entry) => ({
      ...entry,
      generation: update.generation,
    }));
    if (update.whole) {
      this.#drop(this.#takeWhole(update.generation, entries));
    } else {
      this.#ledger.takeChange(this.#ledger.generation, update.generation, entries);
      this.#drop(goneIn(update));
    }
    for (const route of routes) this.#keepRoute(route);
    for (const endpoint of endpoints) this.#keepEndpoint(endpoint);
    for (const { instanceId } of endpoints) this.#changes.wake(instanceId);
    // Of one that a whole table leaves out nothing is told: it may be of an older backup.
    for (const listener of this.#listeners) for (const route of update.routes) listener(route);
    for (const listener of this.#endpointListeners)
      for (const each of update.endpoints) listener(each);
  }

  close(): void {
    this.#ledger.close();
  }

  /**
   * A whole table that is older than ours, or contradicts it, comes of a catalogue that was
   * restored from a backup. Where tenants are is control's to say, so ours begins anew.
   */
  #takeWhole(generation: bigint, entries: readonly LedgerEntry[]): LedgerEntry[] {
    try {
      return this.#ledger.takeWhole(generation, entries);
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "SUPERSEDED") throw error;
    }
    this.#ledger.close();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(this.#path + suffix, { force: true });
    this.#ledger = new Ledger(this.#path);
    this.#routes.clear();
    this.#tenantsByName.clear();
    this.#endpoints.clear();
    return this.#ledger.takeWhole(generation, entries);
  }

  #keepRoute(route: Route): void {
    this.#dropRoute(route.tenantId);
    this.#routes.set(route.tenantId, route);
    const tenants = this.#tenantsByName.get(route.name);
    if (tenants === undefined) this.#tenantsByName.set(route.name, new Set([route.tenantId]));
    else tenants.add(route.tenantId);
  }

  #keepEndpoint(endpoint: Endpoint): void {
    this.#endpoints.set(endpoint.instanceId, endpoint);
  }

  #drop(gone: readonly Pick<LedgerEntry, "kind" | "id">[]): void {
    for (const { kind, id } of gone) {
      this.#ledger.forget(kind, id);
      if (kind === "route") this.#dropRoute(id);
      if (kind === "endpoint") this.#endpoints.delete(id);
    }
  }

  #dropRoute(tenantId: string): void {
    const held = this.#routes.get(tenantId);
    if (held === undefined) return;
    this.#routes.delete(tenantId);
    const tenants = this.#tenantsByName.get(held.name);
    tenants?.delete(tenantId);
    if (tenants?.size === 0) this.#tenantsByName.delete(held.name);
  }
}

/** Among equals the younger: ids are in the order in which they were made. */
function precedes(route: Route, other: Route): boolean {
  const difference = PRECEDENCE[route.state] - PRECEDENCE[other.state];
  return difference === 0 ? route.tenantId > other.tenantId : difference > 0;
}

function routeEntry(route: Route) {
  return { kind: "route", id: route.tenantId, body: toBinary(RouteSchema, route) };
}

function endpointEntry(endpoint: Endpoint) {
  return { kind: "endpoint", id: endpoint.instanceId, body: toBinary(EndpointSchema, endpoint) };
}

/** That a host is revoked is kept, to be told to who comes. */
function isForgotten({ gone, hostRevoked }: Endpoint): boolean {
  return gone && !hostRevoked;
}

function goneIn(update: RouteUpdate): Pick<LedgerEntry, "kind" | "id">[] {
  const routes = update.routes.filter((route) => route.state === RouteState.GONE);
  const endpoints = update.endpoints.filter(isForgotten);
  return [
    ...routes.map((route) => ({ kind: "route", id: route.tenantId })),
    ...endpoints.map((endpoint) => ({ kind: "endpoint", id: endpoint.instanceId })),
  ];
}

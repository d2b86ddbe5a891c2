/**
 * Who of each tenant is inside or on the way in, so that all of them can be ended at once: a tenant
 * that is refused service keeps no session that it had, and gets none that it had begun.
 */
import type { ServerReport } from "@aerodb/postgres";
import type { Route } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import type { RouteTable } from "../routes.ts";
import { endsSessions, farewellOf, refusalOf } from "./refusals.ts";
import type { Relay } from "./relay.ts";

export class TenantSessions {
  readonly #sessions = new Map<string, Set<TenantSession>>();

  constructor(routes: Pick<RouteTable, "onRoute">) {
    routes.onRoute((route) => this.#follow(route));
  }

  /** A client whose tenant is served, from when its route was looked up: in the same breath. */
  enter(tenantId: string): TenantSession {
    const others = this.#sessions.get(tenantId) ?? new Set();
    const session = new TenantSession(() => {
      others.delete(session);
      if (others.size === 0 && this.#sessions.get(tenantId) === others) {
        this.#sessions.delete(tenantId);
      }
    });
    this.#sessions.set(tenantId, others.add(session));
    return session;
  }

  /** Ends every session of a tenant that its route now refuses. */
  #follow(route: Route): void {
    const refusal = endsSessions(route) ? refusalOf(route) : undefined;
    if (refusal === undefined) return;
    for (const session of [...(this.#sessions.get(route.tenantId) ?? [])]) session.refuse(refusal);
  }
}

/** One client of a tenant. */
export class TenantSession {
  /** Whether it waited, on its way in, for a server to be woken. */
  woke = false;
  readonly #refusing = new AbortController();
  readonly #left: () => void;
  #ends: (() => void)[] = [];
  #relay: Relay | undefined;
  #refusal: ServerReport | undefined;

  constructor(left: () => void) {
    this.#left = left;
  }

  /** Aborted once the tenant is refused. */
  get refused(): AbortSignal {
    return this.#refusing.signal;
  }

  /** Why, once it is. */
  get refusal(): ServerReport | undefined {
    return this.#refusal;
  }

  /** Called once, when the session ends or the tenant is refused, whichever is first. */
  onEnd(end: () => void): void {
    this.#ends.push(end);
  }

  relays(relay: Relay): void {
    this.#relay = relay;
  }

  refuse(refusal: ServerReport): void {
    this.#refusal = refusal;
    this.#end();
    this.#refusing.abort();
    this.#relay?.end(farewellOf(refusal));
  }

  leave(): void {
    this.#end();
    this.#left();
  }

  #end(): void {
    for (const end of this.#ends.splice(0)) end();
  }
}

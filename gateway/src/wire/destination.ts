/**
 * Which tenant a connection is for. It may be named in four ways: by the host name TLS was asked
 * for, by `options=endpoint=<name>`, behind a dot in the user, and by the database. Any of them is
 * enough, and those that are given must agree.
 */
import { DATABASE } from "@aerodb/postgres";
import type { Route } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import type { RouteTable } from "../routes.ts";

/** What tools ask for when nobody told them a database. */
const NEUTRAL_DATABASES: ReadonlySet<string> = new Set([DATABASE, "postgres"]);
/** How names of other alphabets are written in host names; names of tenants have none of those. */
const FOREIGN_NAME = /^xn--/;

export interface Ask {
  readonly serverName: string | undefined;
  readonly endpoint: string | undefined;
  readonly database: string;
  readonly user: string;
}

type Routes = Pick<RouteTable, "byName" | "byTenantId">;

/**
 * The route a connection may take, or undefined when it may take none. The caller must not tell the
 * reasons apart: no such tenant, another tenant's role, names that contradict each other.
 */
export function destinationOf(ask: Ask, baseDomain: string, routes: Routes): Route | undefined {
  const { role, tenant } = partsOf(ask.user);
  const hints = [tenantNameIn(ask.serverName, baseDomain), ask.endpoint, tenant];
  const given = hints.filter((hint) => hint !== undefined);
  const [route, ...others] =
    given.length === 0
      ? [find(ask.database, routes)]
      : given.map((hint) => (FOREIGN_NAME.test(hint) ? undefined : find(hint, routes)));
  if (route === undefined || others.some((other) => other !== route)) return undefined;
  if (route.role === "" || role !== route.role) return undefined;
  // Clients ask for a database called like the user when nobody told them another.
  const isNeutral = NEUTRAL_DATABASES.has(ask.database) || ask.database === ask.user;
  return isNeutral || find(ask.database, routes) === route ? route : undefined;
}

/** A tenant by its name or id, whatever the case, with or without a dot at its end. */
function find(text: string, routes: Routes): Route | undefined {
  const name = text.toLowerCase().replace(/\.$/, "");
  return routes.byName(name) ?? routes.byTenantId(name);
}

/** `ten_1` and `acme` of `ten_1.acme`. */
function partsOf(user: string): { readonly role: string; readonly tenant: string | undefined } {
  const at = user.indexOf(".");
  if (at < 0) return { role: user, tenant: undefined };
  return { role: user.slice(0, at), tenant: user.slice(at + 1) };
}

/** `acme` of `acme.<base domain>`, with or without a dot at its end; undefined for any other. */
function tenantNameIn(serverName: string | undefined, baseDomain: string): string | undefined {
  const suffix = `.${baseDomain.toLowerCase()}`;
  const host = serverName?.toLowerCase().replace(/\.$/, "");
  if (!host?.endsWith(suffix)) return undefined;
  const name = host.slice(0, -suffix.length);
  return name === "" || name.includes(".") ? undefined : name;
}

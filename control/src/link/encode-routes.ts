import {
  RouteState,
  WatchRoutesResponseSchema,
  type Endpoint as WireEndpoint,
  type Route as WireRoute,
} from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { Endpoint, Route, RouteTable } from "../app/fleet.ts";
import { inParts } from "./parts.ts";

/** An encoded WatchRoutesResponse: encoded once, however many gateways it goes to. */
export type EncodedRoutes = Buffer;

/** Routes as messages of bounded size, endpoints first. */
export function encodeRoutes(table: RouteTable, whole: boolean): EncodedRoutes[] {
  return inParts(table.endpoints, table.routes).map(([endpoints, routes, more]) =>
    encode({
      generation: table.generation,
      whole,
      more,
      endpoints: endpoints.map(encodeEndpoint),
      routes: routes.map(encodeRoute),
    }),
  );
}

/** Says that usage was taken in, and nothing about routes. */
export function encodeUsageAcknowledgement(usageSequence: bigint): EncodedRoutes {
  return encode({ usageSequence });
}

/** The same of watched spans. */
export function encodeWatchedAcknowledgement(watchedSequence: bigint): EncodedRoutes {
  return encode({ watchedSequence });
}

function encode(message: MessageInitShape<typeof WatchRoutesResponseSchema>): EncodedRoutes {
  return Buffer.from(
    toBinary(WatchRoutesResponseSchema, create(WatchRoutesResponseSchema, message)),
  );
}

const STATE = {
  active: RouteState.ACTIVE,
  creating: RouteState.CREATING,
  suspended: RouteState.SUSPENDED,
  quarantined: RouteState.QUARANTINED,
  deleting: RouteState.DELETING,
  gone: RouteState.GONE,
} as const satisfies Record<Route["state"], RouteState>;

function encodeRoute(route: Route): Omit<WireRoute, "$typeName"> {
  const { tenantId, name, instanceId, connectionLimit, brokenRules } = route;
  const told = { tenantId, name, instanceId, role: tenantId, connectionLimit };
  const lists = { verifiers: [...route.verifiers], brokenRules: [...brokenRules] };
  return { ...told, ...lists, state: STATE[route.state] };
}

function encodeEndpoint(endpoint: Endpoint): Omit<WireEndpoint, "$typeName"> {
  return endpoint;
}

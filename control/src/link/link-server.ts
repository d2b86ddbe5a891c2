/** The port that agents and gateways dial: gRPC, both sides with a certificate of the platform. */
import { type KeyMaterial, type Keys, serverCredentials } from "@aerodb/identity";
import { IdentityService } from "@aerodb/rpc/aerodb/agent/v1/identity_service_pb.js";
import { LinkService } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { RouteService } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { after } from "@aerodb/runtime";
import { GRPC_OPTIONS, grpcService } from "@aerodb/wire";
import { Server, type ServiceDefinition } from "@grpc/grpc-js";
import { type BindAsk, bindFault } from "../server/bind.ts";
import type { AgentLink } from "./agent-link.ts";
import type { EncodedRoutes } from "./encode-routes.ts";
import type { IdentityLink } from "./identity-link.ts";
import type { RouteLink } from "./route-link.ts";

export interface LinkServer {
  readonly port: number;
  /** Ends every stream, and after `graceMs` every connection. */
  close(graceMs: number): Promise<void>;
}

export async function startLinkServer(options: {
  readonly bind: BindAsk;
  readonly identity: KeyMaterial | Keys;
  readonly identities: Pick<IdentityLink, "renew">;
  readonly agents: Pick<AgentLink, "connect" | "close">;
  readonly routes: Pick<RouteLink, "watchRoutes" | "close">;
}): Promise<LinkServer> {
  const { bind, agents, routes, identities } = options;
  const server = new Server(GRPC_OPTIONS);
  server.addService(grpcService(LinkService), { connect: agents.connect });
  server.addService(encodedRouteService(), { watchRoutes: routes.watchRoutes });
  server.addService(grpcService(IdentityService), { renew: identities.renew });
  const port = await listen(server, bind, options);
  return {
    port,
    async close(graceMs) {
      agents.close();
      routes.close();
      const cancel = after(graceMs, () => server.forceShutdown());
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      cancel();
    },
  };
}

function listen(
  server: Server,
  bind: BindAsk,
  options: { readonly identity: KeyMaterial | Keys },
): Promise<number> {
  const host = bind.host.includes(":") ? `[${bind.host}]` : bind.host;
  const credentials = serverCredentials(options.identity);
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${bind.port}`, credentials, (error, port) => {
      if (error === null) resolve(port);
      else reject(bindFault(bind, error));
    });
  });
}

/** Routes come here encoded: what goes to all gateways is encoded once. */
function encodedRouteService(): ServiceDefinition {
  const { watchRoutes } = grpcService(RouteService);
  if (watchRoutes === undefined) throw new Error("bug: RouteService has no WatchRoutes");
  return {
    watchRoutes: { ...watchRoutes, responseSerialize: (encoded: EncodedRoutes) => encoded },
  };
}

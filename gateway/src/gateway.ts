/** A gateway, put together: routes from control, the Postgres port and the REST port. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { controlClient, HeldKeys, type Identity, keepRenewed } from "@aerodb/identity";
import { Fault } from "@aerodb/model";
import { type Logger, monotonicMs, sleep } from "@aerodb/runtime";
import { type MetricsServer, serveMetrics } from "@aerodb/wire";
import { openAdminSocket } from "./admin-socket.ts";
import type { GatewayConfiguration } from "./config.ts";
import type { GatewayMetrics, RequestMetrics } from "./metrics.ts";
import { Parking } from "./parking.ts";
import { servePooled } from "./pool/pooled-session.ts";
import { Pools } from "./pool/pools.ts";
import { connectControl } from "./rest/control.ts";
import { listenForRest } from "./rest/server.ts";
import { type RouteStream, watchRoutes } from "./route-stream.ts";
import { RouteTable } from "./routes.ts";
import { ServerTls } from "./server-tls.ts";
import { Siblings } from "./siblings.ts";
import { Traffic } from "./traffic.ts";
import { ASKED_FOR } from "./watch/probes.ts";
import { Reach } from "./watch/reach.ts";
import { watchTenants } from "./watch/watch.ts";
import { WatchedSpans } from "./watch/watched-spans.ts";
import { CancelKeys } from "./wire/cancel-keys.ts";
import { CancelRequests } from "./wire/cancel-requests.ts";
import { Connections } from "./wire/connections.ts";
import { serveDirectly } from "./wire/direct-session.ts";
import { Instances } from "./wire/instances.ts";
import { Limits } from "./wire/limits.ts";
import { listenForPostgres, type PostgresListener } from "./wire/listener.ts";
import type { Serve } from "./wire/session.ts";
import { TenantSessions } from "./wire/tenant-sessions.ts";

const VERSION = "0.1.0";
const MOCK_SECRET_BYTES = 32;
/** How long control is waited for by a gateway that knows routes, and by one that knows none. */
const ROUTES_MS = 1_000;
const FIRST_ROUTES_MS = 30_000;
const ROUTES_STEP_MS = 25;

const DRAINS =
  "The gateway is being stopped: it takes no connections, and lets those end that it has.";
const LAST_TABLE =
  "The gateway does not hear from control where tenants are: it serves by the table that it has.";
const NO_TABLE = "The gateway has not heard from control yet where tenants are.";

const OWN_AUTHORITY =
  "has an authority of its own, beside gateways on the same ports that have others: who verifies " +
  "certificates is refused by chance. Give all of them the same --tls-certificate and --tls-key";

/** What is wrong with a port, and what to do, by the error of listening. */
const PORT_TROUBLE: Readonly<Record<string, string>> = {
  EADDRINUSE: "is taken: free it",
  EACCES: "is not open to this user: use a privileged one",
};

export interface Gateway {
  readonly restPort: number;
  readonly pgPort: number;
  readonly pgPooledPort: number;
  /** 0: metrics are not shown. */
  readonly metricsPort: number;
  /** Authority of the development certificate; empty when the operator brought one. */
  readonly caFile: string;
  /** Reads again what may change while it runs: the certificate. Never rejects. */
  readAgain(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a gateway that has joined. Throws UNAVAILABLE, naming the flag, when a port is taken. */
export async function startGateway(
  configuration: GatewayConfiguration,
  identity: Identity,
  logger: Logger,
): Promise<Gateway> {
  const { home, wakeDeadlineMs } = configuration;
  const stopping = new AbortController();
  const { routes, traffic, watched } = openKept(home);
  const keys = new HeldKeys(identity);
  const parking = new Parking(routes);
  const reach = new Reach();
  const instances = new Instances({ keys, routes, parking, reach, logger, wakeDeadlineMs });
  const client = controlClient(keys);
  const tls = await openTls(configuration, identity, logger);
  const { signal } = stopping;
  const parts = { routes, traffic, watched, parking, reach, instances, tls, logger, signal };
  const { apiAddress, joinToken, name } = configuration;
  const control = connectControl({ apiAddress, keys });
  tls.follow(signal);
  const joining = { directory: home, kind: "gateway", apiAddress, joinToken, name } as const;
  const renewing = keepRenewed({ ...joining, keys, client, logger, signal });
  const stream = watchRoutes({ ...parts, client, version: VERSION });
  let ports: Ports | undefined;
  let metrics: MetricsServer | undefined;
  const requests = await openRequestMetrics(configuration);
  let draining = false;
  const rest = await portOr("rest", configuration.restPort, () =>
    listenForRest({
      ...{ control, logger, port: configuration.restPort },
      address: configuration.restListenAddress ?? configuration.listenAddress,
      ownReasonsNotReady: () => (draining ? [DRAINS] : reasonsNotReady(ports, parts, stream)),
      ownReasonsDegraded: () => reasonsDegraded(parts, stream),
      answered: (each) => requests?.observe(each),
    }),
  );
  try {
    if (configuration.siblingsDirectory !== undefined) await untilRoutesKnown(routes, stream);
    ports = await openPorts(configuration, parts);
    const { connections, limits } = ports;
    metrics = await openMetrics(configuration, {
      ...{ traffic, connections, limits, requests },
      followsControl: () => stream.connected,
    });
  } catch (error) {
    stopping.abort();
    await rest.close();
    throw error;
  }
  const { postgres, pooled, closePorts } = ports;
  const watching = watch(configuration, parts, stream);
  return {
    restPort: rest.port,
    pgPort: postgres.port,
    pgPooledPort: pooled.port,
    metricsPort: metrics?.port ?? 0,
    caFile: tls.caFile,
    readAgain: () => tls.readAgain(),
    async stop() {
      draining = true;
      await closePorts();
      metrics?.close();
      await rest.close();
      traffic.read();
      stopping.abort();
      await Promise.all([stream.ended, renewing.ended, watching]);
      const kept = [routes, traffic, watched];
      for (const each of [client, control, instances, parking, ...kept]) each.close();
    },
  };
}

/** What a gateway keeps on disk, besides who it is. */
function openKept(home: string): Pick<PortParts, "routes" | "traffic" | "watched"> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  return {
    routes: new RouteTable(join(home, "routes.db")),
    traffic: new Traffic(join(home, "usage.db")),
    watched: new WatchedSpans(join(home, "watched.db")),
  };
}

interface PortParts {
  readonly routes: RouteTable;
  readonly traffic: Traffic;
  readonly watched: WatchedSpans;
  readonly parking: Parking;
  readonly reach: Reach;
  readonly instances: Instances;
  readonly tls: ServerTls;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Finds out of every tenant whether clients get through, and tells control. */
function watch(
  { watchSeconds }: GatewayConfiguration,
  parts: PortParts,
  stream: RouteStream,
): Promise<void> {
  const { instances, tls, watched } = parts;
  const spanMs = watchSeconds * 1_000;
  // Who hangs is to be found out before the span is over, however short it is.
  const mostMs = spanMs * ASKED_FOR;
  return watchTenants({
    ...parts,
    spans: watched,
    spanMs,
    ask: (target, signal) => instances.ask(target, { mostMs, signal }),
    certificateEndsAt: () => tls.shown.endsAt,
    found: () => stream.sendWatched(),
  });
}

/**
 * Where others listen on its ports, a gateway is asked as soon as it does: before, it learns who is
 * where. With control away it serves from the table that it has, and where control hangs after a
 * moment; one without a table does not.
 */
async function untilRoutesKnown(routes: RouteTable, stream: RouteStream): Promise<void> {
  const startedMs = monotonicMs();
  while (!stream.connected) {
    const waitedMs = monotonicMs() - startedMs;
    if (routes.generation > 0n && (stream.refused || waitedMs > ROUTES_MS)) return;
    if (waitedMs > FIRST_ROUTES_MS) {
      const seconds = FIRST_ROUTES_MS / 1_000;
      throw new Fault(
        "UNAVAILABLE",
        `Control has not said within ${seconds} s where tenants are, and clients that other ` +
          "gateways would serve come to this one: see that control runs, and start it again.",
      );
    }
    await sleep(ROUTES_STEP_MS);
  }
}

interface Ports {
  readonly postgres: PostgresListener;
  readonly pooled: PostgresListener;
  readonly connections: Connections;
  readonly limits: Limits;
  readonly closePorts: () => Promise<void>;
}

/** The ports of Postgres clients, and the socket that tells who is connected to them. */
async function openPorts(configuration: GatewayConfiguration, parts: PortParts): Promise<Ports> {
  const { routes, traffic, instances, logger } = parts;
  const { home, poolSize, poolWaitMs, poolClients } = configuration;
  const pools = new Pools(routes, { ...parts, poolSize, poolWaitMs });
  const siblings = siblingsOf(configuration, logger);
  const cancelKeys = new CancelKeys(siblings?.number);
  const cancels = new CancelRequests({ keys: cancelKeys, instances, siblings });
  const connections = new Connections(logger);
  const limits = new Limits(configuration);
  connections.endIdle(configuration, parts.signal);
  const shared = {
    ...parts,
    address: configuration.pgListenAddress ?? configuration.listenAddress,
    baseDomain: configuration.baseDomain,
    mockSecret: mockSecret(home),
    handshakeDeadlineMs: configuration.handshakeDeadlineMs,
    authenticationDeadlineMs: configuration.authenticationDeadlineMs,
    drainMs: configuration.drainMs,
    ...{ sessions: new TenantSessions(routes), limits },
    ...{ cancels, connections, sharesPort: siblings !== undefined },
    halfOpen: configuration.halfOpen,
  };
  const listen = (which: "pg" | "pg-pooled", port: number, serve: Serve) => {
    const portName = which === "pg" ? "session" : "pooled";
    return portOr(which, port, () => listenForPostgres({ ...shared, port, portName, serve }));
  };
  const directly = serveDirectly({
    ...parts,
    cancelKeys,
    makeRoom: (tenantId) => pools.makeRoom(tenantId),
  });
  const postgres = await listen("pg", configuration.pgPort, directly);
  const inTurn = servePooled({ pools, cancelKeys, traffic, poolClients });
  const pooled = await listen("pg-pooled", configuration.pgPooledPort, inTurn);
  const closeAdmin = await openAdminSocket({ ...parts, home, connections, cancels });
  const closePorts = async () => {
    const { waitForClientsMs } = configuration;
    await Promise.all([postgres, pooled].map((each) => each.waitForClients(waitForClientsMs)));
    pools.drain();
    await Promise.all([postgres.close(), pooled.close()]);
    pools.close();
    await closeAdmin();
    siblings?.leave();
  };
  return { postgres, pooled, connections, limits, closePorts };
}

/** Undefined where metrics are not shown. */
async function openRequestMetrics({
  metricsPort,
}: GatewayConfiguration): Promise<RequestMetrics | undefined> {
  return metricsPort === 0 ? undefined : new (await import("./metrics.ts")).RequestMetrics();
}

/** Undefined where metrics are not shown. */
async function openMetrics(
  { metricsPort: port, metricsListenAddress: listenAddress, metricsTenants }: GatewayConfiguration,
  {
    requests,
    ...shown
  }: Pick<GatewayMetrics, "traffic" | "connections" | "limits" | "followsControl"> & {
    readonly requests: RequestMetrics | undefined;
  },
): Promise<MetricsServer | undefined> {
  if (requests === undefined) return undefined;
  const { METRICS_CONTENT_TYPE: contentType, renderMetrics } = await import("./metrics.ts");
  const metrics = { ...shown, requests, version: VERSION, tenants: metricsTenants };
  return serveMetrics({
    ...{ port, listenAddress, variable: "AERODB_GATEWAY_METRICS_PORT", contentType },
    render: () => renderMetrics(metrics),
  });
}

function siblingsOf(
  { siblingsDirectory: directory, home }: GatewayConfiguration,
  logger: Logger,
): Siblings | undefined {
  return directory === undefined ? undefined : Siblings.join(directory, home, logger);
}

function openTls(
  configuration: GatewayConfiguration,
  { id: gatewayId }: Identity,
  logger: Logger,
): Promise<ServerTls> {
  const { home, baseDomain, tlsCertificate, tlsKey, siblingsDirectory } = configuration;
  if (siblingsDirectory !== undefined && tlsCertificate === undefined) logger.warn(OWN_AUTHORITY);
  const files = { certificateFile: tlsCertificate, keyFile: tlsKey };
  return ServerTls.open({ home, gatewayId, baseDomain, ...files }, logger);
}

function reasonsNotReady(
  ports: Ports | undefined,
  { routes }: PortParts,
  { connected }: RouteStream,
): string[] {
  const reasons = [];
  const accepting = ports?.postgres.accepting === true && ports.pooled.accepting;
  if (!accepting) reasons.push("A Postgres port of the gateway does not accept connections.");
  if (!connected && routes.generation === 0n) reasons.push(NO_TABLE);
  return reasons;
}

function reasonsDegraded({ routes }: PortParts, { connected }: RouteStream): string[] {
  return !connected && routes.generation > 0n ? [LAST_TABLE] : [];
}

/** Key from which the salts of tenants that do not exist are made: the same after a restart. */
function mockSecret(home: string): Buffer {
  const path = join(home, "mock-salt-secret");
  if (!existsSync(path)) writeFileSync(path, randomBytes(MOCK_SECRET_BYTES), { mode: 0o600 });
  return readFileSync(path);
}

async function portOr<Listener>(
  which: "rest" | "pg" | "pg-pooled",
  port: number,
  listen: () => Promise<Listener>,
): Promise<Listener> {
  try {
    return await listen();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const wrong = code === undefined ? undefined : PORT_TROUBLE[code];
    if (wrong === undefined) throw error;
    const variable = which.toUpperCase().replace("-", "_");
    const choice = `--${which}-port or AERODB_GATEWAY_${variable}_PORT`;
    throw new Fault("UNAVAILABLE", `Port ${port} ${wrong}, or choose another with ${choice}.`, {
      cause: error,
    });
  }
}

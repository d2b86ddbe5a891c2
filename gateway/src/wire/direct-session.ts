/** A session with a connection of its own to the tenant's instance. */
import { Fault } from "@aerodb/model";
import { encodeErrorResponse, encodeStartupMessage, type ServerReport } from "@aerodb/postgres";
import type { Route } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { backoffMs, failpoint, type Logger, sleep } from "@aerodb/runtime";
import type { Parking } from "../parking.ts";
import type { RouteTable } from "../routes.ts";
import type { Traffic } from "../traffic.ts";
import type { Reach } from "../watch/reach.ts";
import { credentialsRefused } from "./authentication.ts";
import type { CancelKeys } from "./cancel-keys.ts";
import { ConnectionTraffic } from "./connection-traffic.ts";
import type { Instances } from "./instances.ts";
import { type Opened, ParkableSession } from "./parkable-session.ts";
import { DirectRelay, type Relay } from "./relay.ts";
import { logIn, reportOfLogin, shutsDown } from "./server-login.ts";
import { type Entry, encodeWelcome, type Serve } from "./session.ts";
import type { TenantSession } from "./tenant-sessions.ts";

export interface DirectSettings {
  readonly routes: RouteTable;
  readonly instances: Instances;
  readonly parking: Parking;
  readonly cancelKeys: CancelKeys;
  readonly traffic: Traffic;
  readonly reach: Pick<Reach, "loggedIn">;
  /** Ends connections of a tenant that are kept for nobody yet; whether there were any. */
  readonly makeRoom: (tenantId: string) => boolean;
  readonly logger: Logger;
}

/** Serves each client by a connection of its own. */
export function serveDirectly(settings: DirectSettings): Serve {
  return (entry, session, signal) => pass(entry, session, settings, signal);
}

/** Opens the session on the tenant's instance, and begins to relay. */
async function pass(
  entry: Entry,
  session: TenantSession,
  settings: DirectSettings,
  signal: AbortSignal,
): Promise<Relay | undefined> {
  const { client, route, stream } = entry;
  const { cancelKeys, traffic, routes, parking, logger } = settings;
  const counters = traffic.of(route.tenantId);
  const wakes = () => {
    session.woke = true;
  };
  const opened = await openServer({ entry, route, wakes }, settings, signal);
  if (opened.kind === "refused") {
    stream.end(opened.answer);
    return undefined;
  }
  const { server } = opened;
  let relay: DirectRelay | undefined;
  try {
    await failpoint("gateway.session.after_ready");
    signal.throwIfAborted();
    relay = new DirectRelay(stream, new ConnectionTraffic(counters));
    const parkable = new ParkableSession(relay, {
      ...{ instanceId: route.instanceId, key: server.key, parking, counters, logger },
      currentRoute: () => routes.byTenantId(route.tenantId) ?? route,
      open: (now, ending) => openServer({ entry, route: now }, settings, ending),
      cancel: (target, ending) => settings.instances.cancel(target, ending),
    });
    const own = cancelKeys.register(() => parkable.cancelled(), entry.minor);
    session.onEnd(() => cancelKeys.forget(own));
    stream.write(encodeWelcome(entry, server.greeting, own));
    relay.attach(server);
    const early = client.reader.rest();
    if (early.length > 0) relay.receive(early);
    parkable.begin();
    return relay;
  } finally {
    if (relay === undefined) server.stream.destroy();
  }
}

/** Who comes, and where to. */
interface Coming {
  readonly entry: Entry;
  readonly route: Route;
  /** Told when the server has to be woken. */
  readonly wakes?: () => void;
}

/** How often a client comes again whose tenant's own idle connections made way for it. */
const ROOM_TRIES = 4;
const ROOM = { firstMs: 20, maxMs: 200 };

/** Opens a connection to the instance as the client that has shown its key. */
async function openServer(
  coming: Coming,
  settings: DirectSettings,
  signal: AbortSignal,
): Promise<Opened> {
  const { route } = coming;
  for (let tries = 1; ; tries += 1) {
    const opened = await tryServer(coming, settings, signal);
    const isFull = opened.kind === "refused" && opened.full === true;
    // What was ended may take its place a moment longer.
    if (isFull && tries <= ROOM_TRIES && (settings.makeRoom(route.tenantId) || tries > 1)) {
      await sleep(backoffMs(tries, ROOM), signal);
      continue;
    }
    // One that was on its way in as its instance was parked comes again.
    const parked = settings.parking.of(route.instanceId) !== undefined;
    if (opened.kind === "refused" && !opened.final && parked) continue;
    if (opened.kind === "refused") settings.traffic.of(route.tenantId).connectionsRefused += 1;
    return opened;
  }
}

async function tryServer(
  { entry: { ask, proof }, route, wakes }: Coming,
  { instances, traffic, parking, reach }: DirectSettings,
  signal: AbortSignal,
): Promise<Opened> {
  const counters = traffic.of(route.tenantId);
  try {
    await failpoint("gateway.session.before_dial");
    const connection = await instances.open(
      route.instanceId,
      {
        startupFor: ({ database }) =>
          // The role is the route's, never what the client wrote: they are equal, and stay so.
          encodeStartupMessage({
            minor: 0,
            parameters: [["user", route.role], ["database", database], ...ask.settings],
          }),
        waits() {
          counters.wakeWaits += 1;
          wakes?.();
        },
      },
      signal,
    );
    const login = await logIn(connection, proof, signal);
    if (parking.of(route.instanceId) === undefined) reach.loggedIn(route, login);
    switch (login.kind) {
      case "ready":
        return login;
      case "refused":
        return { kind: "refused", final: true, answer: credentialsRefused(ask.user) };
      case "error": {
        const report = reportOfLogin(login.message, route);
        const [full, answer] = [report.sqlState === "53300", encodeErrorResponse(report)];
        return { kind: "refused", final: !shutsDown(login.message), full, answer };
      }
      case "lost":
        return { kind: "refused", final: false, answer: encodeErrorResponse(LOST) };
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const { message } = error;
    const report = { severity: "FATAL", sqlState: "57P03", message } as const;
    return { kind: "refused", final: true, answer: encodeErrorResponse(report) };
  }
}

const LOST: ServerReport = {
  severity: "FATAL",
  sqlState: "57P03",
  message: "the tenant's server ended the connection while it was opened: try again in a moment",
};

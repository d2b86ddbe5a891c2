/** A session with a connection of its own to the tenant's instance. */
import type { Socket } from "node:net";
import { Fault } from "@aerodb/model";
import { encodeStartupMessage, type ServerReport } from "@aerodb/postgres";
import { failpoint } from "@aerodb/runtime";
import type { Traffic } from "../traffic.ts";
import { credentialsRefused } from "./authentication.ts";
import type { CancelKeys } from "./cancel-keys.ts";
import { ConnectionTraffic } from "./connection-traffic.ts";
import type { Instances } from "./instances.ts";
import type { Peer } from "./peer.ts";
import { type Relay, startRelay } from "./relay.ts";
import { logIn, type ReadyServer } from "./server-login.ts";
import { type Entry, encodeWelcome, refuse, type Serve } from "./session.ts";
import type { TenantSession } from "./tenant-sessions.ts";

export interface DirectSettings {
  readonly instances: Instances;
  readonly cancelKeys: CancelKeys;
  readonly traffic: Traffic;
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
  const { cancelKeys, traffic } = settings;
  const server = await openServer(entry, settings, signal);
  if (server === undefined) return undefined;
  let relay: Relay | undefined;
  try {
    await failpoint("gateway.session.after_ready");
    signal.throwIfAborted();
    const target = { instanceId: route.instanceId, key: server.key };
    const own = cancelKeys.register(() => target, entry.minor);
    session.onEnd(() => cancelKeys.forget(own));
    stream.write(encodeWelcome(entry, server.greeting, own));
    relay = relayBetween(stream, client, server, new ConnectionTraffic(traffic.of(route.tenantId)));
    return relay;
  } finally {
    if (relay === undefined) server.stream.destroy();
  }
}

/** Opens the connection to the instance, or tells the client why there is none. */
async function openServer(
  entry: Entry,
  { instances, traffic }: DirectSettings,
  signal: AbortSignal,
): Promise<ReadyServer | undefined> {
  const { ask, route, proof } = entry;
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
        },
      },
      signal,
    );
    const login = await logIn(connection, proof, signal);
    switch (login.kind) {
      case "ready":
        return login.server;
      case "refused":
        entry.stream.end(credentialsRefused(ask.user));
        return undefined;
      case "error":
        // Its plan's connections are taken, in most cases.
        counters.connectionsRefused += 1;
        entry.stream.end(login.message.bytes);
        return undefined;
      case "lost":
        refuse(entry, LOST);
        return undefined;
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    refuse(entry, { severity: "FATAL", sqlState: "57P03", message: error.message });
    return undefined;
  }
}

const LOST: ServerReport = {
  severity: "FATAL",
  sqlState: "57P03",
  message: "the tenant's server ended the connection while it was opened: try again in a moment",
};

function relayBetween(
  stream: Socket,
  client: Peer,
  server: ReadyServer,
  traffic: ConnectionTraffic,
): Relay {
  const early = client.reader.rest();
  if (early.length > 0) server.stream.write(early);
  const late = server.reader.rest();
  if (late.length > 0) stream.write(late);
  return startRelay({ client: stream, server: server.stream, traffic });
}

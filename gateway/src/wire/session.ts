/** One connection of a client, from its first byte to its last. */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import {
  type BackendKey,
  encodeAuthentication,
  encodeBackendKeyData,
  encodeErrorResponse,
  encodeMessage,
  MessageReader,
  type ScramSuccess,
  type ServerReport,
} from "@aerodb/postgres";
import type { Route } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { type Logger, monotonicMs } from "@aerodb/runtime";
import type { RouteTable } from "../routes.ts";
import type { ShownCertificate } from "../server-tls.ts";
import type { Traffic } from "../traffic.ts";
import { authenticate, credentialsRefused } from "./authentication.ts";
import type { CancelRequests } from "./cancel-requests.ts";
import type { ConnectionFacts, Connections } from "./connections.ts";
import { withDeadline } from "./deadline.ts";
import { type Ask, destinationOf } from "./destination.ts";
import { type Opening, shakeHands, TOO_LATE } from "./handshake.ts";
import type { Limits } from "./limits.ts";
import { READY_FOR_QUERY } from "./messages.ts";
import type { Peer } from "./peer.ts";
import { refusalOf } from "./refusals.ts";
import type { Relay } from "./relay.ts";
import { readStartupAsk, type StartupAsk } from "./startup-rules.ts";
import type { TenantSession, TenantSessions } from "./tenant-sessions.ts";

/** What every session of a listener shares. */
export interface SessionSettings {
  readonly routes: RouteTable;
  readonly sessions: TenantSessions;
  readonly cancels: CancelRequests;
  readonly baseDomain: string;
  readonly mockSecret: Uint8Array;
  /** How long a client may take to say who it is, and then to prove it. */
  readonly handshakeDeadlineMs: number;
  readonly authenticationDeadlineMs: number;
  readonly limits: Limits;
  readonly connections: Connections;
  /** What the port is called. */
  readonly portName: ConnectionFacts["port"];
  readonly traffic: Traffic;
  readonly logger: Logger;
  /** Serves whoever was let in. Rejects with the signal's reason. */
  readonly serve: Serve;
}

export type Serve = (
  entry: Entry,
  session: TenantSession,
  signal: AbortSignal,
) => Promise<Relay | undefined>;

type Startup = Extract<Opening, { readonly kind: "startup" }>;
type Accepted = Extract<StartupAsk, { readonly kind: "accepted" }>;

/** The newest minor of protocol 3 that is spoken, beside 3.0: 3.1 never was. */
const NEWEST_MINOR = 2;
const AUTHENTICATED = encodeAuthentication("ok");

/**
 * Serves a connection until its session is open, and returns the session; undefined when there is
 * none: a cancel, a refusal, or a client that left. Rejects with the signal's reason.
 */
export async function openSession(
  socket: Socket,
  shown: ShownCertificate,
  settings: SessionSettings,
  signal: AbortSignal,
): Promise<Relay | undefined> {
  const { handshakeDeadlineMs, limits } = settings;
  const opening = await withDeadline(handshakeDeadlineMs, signal, (ending, isOver) =>
    shakeHands(socket, shown, { ending, isOver }).finally(() => {
      if (isOver()) limits.strangersRefused.late += 1;
    }),
  );
  switch (opening.kind) {
    case "gone":
      socket.destroy();
      return undefined;
    case "refused":
      opening.stream.end(encodeErrorResponse(opening.report));
      return undefined;
    case "cancel":
      await settings.cancels.take(opening.key, signal);
      opening.stream.end();
      return undefined;
    case "startup":
      return start(opening, settings, signal);
  }
}

async function start(
  opening: Startup,
  settings: SessionSettings,
  signal: AbortSignal,
): Promise<Relay | undefined> {
  const { stream, endPoint } = opening;
  const ask = readStartupAsk(opening.parameters);
  const named = namesIn(opening, ask);
  const { user, database } = named;
  const find = () => destinationOf(named, settings.baseDomain, settings.routes);
  // Nobody but its tenant and those who run the gateway see how many there were.
  const countRefused = () => {
    const route = find();
    if (route !== undefined) settings.traffic.of(route.tenantId).connectionsRefused += 1;
  };
  if (ask.kind === "refused") {
    const { sqlState, reason } = ask;
    countRefused();
    stream.end(encodeErrorResponse({ severity: "FATAL", sqlState, message: reason }));
    return undefined;
  }
  const minor = negotiate(opening, ask);
  const client: Peer = { stream, reader: new MessageReader() };
  client.reader.push(opening.rest);
  const { mockSecret } = settings;
  const claim = { client, user, database, route: find(), endPoint, mockSecret };
  const proof = await withDeadline(
    settings.authenticationDeadlineMs,
    signal,
    async (ending, isOver) => {
      try {
        return await authenticate(claim, ending);
      } catch (error) {
        if (!isOver()) throw error;
        settings.limits.strangersRefused.late += 1;
        stream.end(encodeErrorResponse(TOO_LATE));
        return undefined;
      }
    },
  );
  if (proof === undefined) return undefined;
  if (proof === "refused") {
    countRefused();
    return undefined;
  }
  // It may have gone or changed meanwhile.
  const route = find();
  if (route === undefined) {
    stream.end(credentialsRefused(user));
    return undefined;
  }
  const refusal = refusalOf(route) ?? settings.limits.refusalOfTenant(route.tenantId);
  if (refusal !== undefined) {
    countRefused();
    stream.end(encodeErrorResponse(refusal));
    return undefined;
  }
  return enter({ stream, client, ask, minor, route, proof }, settings, signal);
}

/** What names a tenant, also of an ask that is refused. */
function namesIn({ serverName, parameters }: Startup, ask: StartupAsk): Ask {
  const user = parameters.get("user") ?? "";
  const database = parameters.get("database") || user;
  const endpoint = ask.kind === "accepted" ? ask.endpoint : undefined;
  return { serverName, endpoint, database, user };
}

/** Settles on a minor of the protocol, telling the client when that is not what it asked for. */
function negotiate({ stream, minor: asked }: Startup, { extensions }: Accepted): number {
  const minor = asked >= NEWEST_MINOR ? NEWEST_MINOR : 0;
  if (minor === asked && extensions.length === 0) return minor;
  const settled = Buffer.alloc(8);
  settled.writeUInt32BE(0x3_0000 + minor, 0);
  settled.writeUInt32BE(extensions.length, 4);
  const names = Buffer.from(extensions.map((name) => `${name}\0`).join(""));
  stream.write(encodeMessage("v", settled, names));
  return minor;
}

/** A client that was let in. */
export interface Entry {
  readonly stream: Socket;
  readonly client: Peer;
  readonly ask: Accepted;
  readonly minor: number;
  readonly route: Route;
  readonly proof: ScramSuccess;
}

/** Lets a client in, unless its tenant is refused meanwhile: then it is told so, and ended. */
async function enter(
  entry: Entry,
  settings: SessionSettings,
  signal: AbortSignal,
): Promise<Relay | undefined> {
  const startedMs = monotonicMs();
  const session = settings.sessions.enter(entry.route.tenantId);
  let relay: Relay | undefined;
  try {
    const ending = AbortSignal.any([signal, session.refused]);
    relay = await settings.serve(entry, session, ending);
    if (relay !== undefined) {
      session.relays(relay);
      const openedInMs = Math.round(monotonicMs() - startedMs);
      const opened = { port: settings.portName, openedInMs, woke: session.woke };
      settings.connections.add(factsOf(entry, opened), relay);
    }
    return relay;
  } catch (error) {
    const { refusal } = session;
    if (refusal === undefined || signal.aborted) throw error;
    refuse(entry, refusal);
    return undefined;
  } finally {
    void (relay?.ended ?? Promise.resolve()).then(() => session.leave());
  }
}

function factsOf(
  { stream, ask, route }: Entry,
  opened: Pick<ConnectionFacts, "port" | "openedInMs" | "woke">,
): ConnectionFacts {
  const { tenantId, name: tenant, instanceId } = route;
  return {
    ...{ tenant, tenantId, instanceId },
    ...opened,
    address: stream.remoteAddress ?? "",
    application: ask.settings.get("application_name") ?? "",
    encrypted: stream instanceof TLSSocket,
  };
}

/** What a client is told once it is let in: whom it speaks to, and that it may ask. */
export function encodeWelcome({ proof }: Entry, greeting: Buffer, key: BackendKey): Buffer {
  const final = encodeAuthentication("saslFinal", proof.serverFinal);
  return Buffer.concat([
    ...[final, AUTHENTICATED, greeting],
    ...[encodeBackendKeyData(key), READY_FOR_QUERY],
  ]);
}

export function refuse({ stream }: Entry, report: ServerReport): void {
  stream.end(encodeErrorResponse(report));
}

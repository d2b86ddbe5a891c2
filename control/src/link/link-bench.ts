/**
 * The link server on a real port with a fake fleet, and clients with real certificates, for tests.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { channelCredentials, HeldKeys, type KeyMaterial, type Peer } from "@aerodb/identity";
import { type CertificateAuthority, openCertificateAuthority } from "@aerodb/identity/authority";
import type { HostId } from "@aerodb/model";
import { LinkService } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { RouteService } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { newId, silent, within } from "@aerodb/runtime";
import { GRPC_OPTIONS, openStream } from "@aerodb/wire";
import {
  create,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Client, type ServiceError } from "@grpc/grpc-js";
import { openJoiningDesk } from "../auth/joining-desk.ts";
import { ownCertificate } from "../server/own-certificate.ts";
import { AgentLink } from "./agent-link.ts";
import { LINK_TIMES, type LinkTimes } from "./agent-session.ts";
import { FakeFleet } from "./fake-fleet.ts";
import { IdentityLink } from "./identity-link.ts";
import { startLinkServer } from "./link-server.ts";
import { RouteLink } from "./route-link.ts";

const WAIT_MS = 5_000;
export const HOST: Peer = { kind: "host", id: newId("hst") };
export const GATEWAY: Peer = { kind: "gateway", id: newId("gtw") };
export const HOST_ID = HOST.id as HostId;

/** One end of a stream, as a test sees it. */
export interface Dialled<Method extends DescMethod> {
  send(message: MessageInitShape<Method["input"]>): void;
  /** The next message that is not taken yet. */
  next(): Promise<MessageShape<Method["output"]>>;
  /** What the stream ended with; undefined in peace. */
  readonly ended: Promise<ServiceError | undefined>;
  close(): void;
}

export interface LinkBench {
  readonly fleet: FakeFleet;
  readonly agents: AgentLink;
  readonly routes: RouteLink;
  readonly authority: CertificateAuthority;
  /** What the link server shows. */
  readonly keys: HeldKeys;
  /** Serials of the certificates that were renewed. */
  readonly renewed: readonly string[];
  /** A client that shows a certificate, by any authority; closed with the bench. */
  clientOf(shown: KeyMaterial): Client;
  dialAgent(peer?: Peer): Promise<Dialled<(typeof LinkService)["method"]["connect"]>>;
  dialGateway(peer?: Peer): Promise<Dialled<(typeof RouteService)["method"]["watchRoutes"]>>;
  close(): Promise<void>;
}

export async function openLinkBench(times: Partial<LinkTimes> = {}): Promise<LinkBench> {
  const home = mkdtempSync(join(tmpdir(), "aerodb-link-"));
  const authority = await openCertificateAuthority(home);
  const fleet = new FakeFleet();
  const over = new AbortController();
  const linkTimes = { ...LINK_TIMES, ...times };
  const agents = new AgentLink({ fleet, logger: silent, times: linkTimes });
  const routes = new RouteLink({ logger: silent, times: linkTimes });
  const following = routes.follow(fleet, over.signal);
  const renewed: string[] = [];
  const keys = new HeldKeys(await ownCertificate(authority, []));
  const server = await startLinkServer({
    bind: { host: "127.0.0.1", port: 0, flag: "--link-port" },
    identity: keys,
    identities: identityLink({ authority, fleet, renewed }),
    ...{ agents, routes },
  });
  const clients: Client[] = [];
  function clientOf(shown: KeyMaterial): Client {
    const credentials = channelCredentials(shown, { kind: "control" });
    const client = new Client(`127.0.0.1:${server.port}`, credentials, GRPC_OPTIONS);
    clients.push(client);
    return client;
  }
  async function dial<Method extends DescMethod>(peer: Peer, method: Method) {
    return dialled(clientOf(await showing(authority, peer)), method);
  }
  return {
    ...{ fleet, agents, routes, authority, keys, renewed, clientOf },
    dialAgent: async (peer = HOST) => butWarm(await dial(peer, LinkService.method.connect)),
    dialGateway: (peer = GATEWAY) => dial(peer, RouteService.method.watchRoutes),
    async close() {
      for (const client of clients) client.close();
      over.abort();
      await following;
      await server.close(100);
      rmSync(home, { recursive: true });
    },
  };
}

/** What a peer shows, certified by an authority. */
export async function showing(
  authority: CertificateAuthority,
  peer: Peer,
  validForDays = 1,
): Promise<KeyMaterial> {
  const issued = await authority.issue({ peer, dnsNames: [], ipAddresses: [], validForDays });
  return { ...issued, caCertificate: authority.certificate };
}

function identityLink(parts: {
  readonly authority: CertificateAuthority;
  readonly fleet: FakeFleet;
  readonly renewed: string[];
}): IdentityLink {
  const book = {
    createJoinToken: () => Promise.reject(new Error("makes no tokens")),
    join: () => Promise.reject(new Error("lets nobody join")),
    recordCertificate: async ({ serial }: { readonly serial: string }) => {
      parts.renewed.push(serial);
    },
  };
  const addresses = { linkAddress: "", apiAddress: "" };
  return new IdentityLink({
    desk: openJoiningDesk(book, parts.authority, { addresses, certificateDays: 1 }),
    requireStanding: (shown) => parts.fleet.requireStanding(shown),
    logger: silent,
  });
}

type AgentMethod = typeof LinkService.method.connect;

/** The same without what says what to keep ready: a test of its own looks at that. */
function butWarm(agent: Dialled<AgentMethod>): Dialled<AgentMethod> {
  return {
    ...agent,
    async next() {
      for (;;) {
        const received = await agent.next();
        if (received.message.case !== "warm") return received;
      }
    },
  };
}

export function dialled<Method extends DescMethod>(
  client: Client,
  method: Method,
): Dialled<Method> {
  const call = openStream(client, method);
  const arrived: MessageShape<Method["output"]>[] = [];
  let wake: () => void = () => undefined;
  const { promise: ended, resolve } = Promise.withResolvers<ServiceError | undefined>();
  call.on("data", (message) => {
    arrived.push(message);
    wake();
  });
  call.on("error", (error) => resolve(error as ServiceError));
  call.on("end", () => resolve(undefined));
  async function take(): Promise<MessageShape<Method["output"]>> {
    for (;;) {
      const message = arrived.shift();
      if (message !== undefined) return message;
      await new Promise<void>((resume) => {
        wake = resume;
      });
    }
  }
  return {
    send(message) {
      const init = message as MessageInitShape<DescMethod["input"]>;
      call.write(create(method.input, init) as MessageShape<Method["input"]>);
    },
    next: () => within({ ms: WAIT_MS, expecting: "a message of control" }, take()),
    ended: within({ ms: WAIT_MS, expecting: "the end of a stream" }, ended),
    close: () => call.cancel(),
  };
}

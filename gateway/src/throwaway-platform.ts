/**
 * Everything around a gateway, for a test file: a real instance with real tenants, an authority, a
 * control that streams routes over mTLS, and the gateway itself. Only control's rules are made up.
 */

import { readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Identity, peerOfCall, serverCredentials } from "@aerodb/identity";
import { type CertificateAuthority, openCertificateAuthority } from "@aerodb/identity/authority";
import type { HostId, TenantId } from "@aerodb/model";
import {
  canChangeOwner,
  cloneDataDirectory,
  connectPlatform,
  DATABASE,
  ensureTemplate,
  ensureTenant,
  findEngine,
  generatePassword,
  materializeEngine,
  type Postmaster,
  type PostmasterSettings,
  scramVerifier,
  socketPath,
  startPostmaster,
  writeConfiguration,
} from "@aerodb/postgres";
import {
  type ConnectRequest,
  ConnectResponseSchema,
  HostEdgeService,
  type WakeRequest,
  WakeResponseSchema,
} from "@aerodb/rpc/aerodb/edge/v1/host_edge_service_pb.js";
import {
  RouteService,
  RouteState,
  type WatchRoutesRequest,
  type WatchRoutesResponse,
  WatchRoutesResponseSchema,
} from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { type Logger, newId, silent, Waiters } from "@aerodb/runtime";
import { grpcService } from "@aerodb/wire";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { inject } from "vitest";
import type { GatewayConfiguration } from "./config.ts";
import { type Gateway, startGateway } from "./gateway.ts";
import { throwawayConfiguration } from "./throwaway-configuration.ts";
import { throwawayIdentity } from "./throwaway-identity.ts";

const ROOT_PASSWORD = "root-password-of-a-throwaway-instance-000";

/** Where tests reach a tenant. */
export interface ThrowawayTenant {
  readonly tenantId: TenantId;
  readonly name: string;
  readonly password: string;
  readonly verifier: string;
}

export async function throwawayDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "aerodb-gateway-"));
  await chmod(directory, 0o711);
  return directory;
}

/** A real instance, running, with a tenant of each name. */
export class ThrowawayInstance {
  readonly instanceId = newId("ins");
  readonly settings: PostmasterSettings;
  postmaster: Postmaster;

  private constructor(settings: PostmasterSettings, postmaster: Postmaster) {
    this.settings = settings;
    this.postmaster = postmaster;
  }

  static async start(directory: string): Promise<ThrowawayInstance> {
    const shared = inject("enginesDirectory");
    const engine = await materializeEngine(await findEngine(), join(shared, "engines"));
    const template = await ensureTemplate(engine, join(shared, "templates"), {
      rootPassword: ROOT_PASSWORD,
    });
    const whose = canChangeOwner() ? { owner: { uid: 70_002, gid: 70_002 } } : {};
    const instance = join(directory, "i");
    await mkdir(instance, { mode: 0o711 });
    const dataDirectory = join(instance, "data");
    await cloneDataDirectory(template, dataDirectory, whose);
    await writeConfiguration(
      dataDirectory,
      { kind: "shared", engineMajor: engine.major, maxConnections: 100, memoryMiB: 256 },
      whose.owner,
    );
    const settings = {
      engine,
      dataDirectory,
      socketDirectory: join(instance, "socket"),
      lockFile: join(instance, "lock"),
      logFile: join(instance, "log"),
      ...whose,
    };
    return new ThrowawayInstance(settings, await startPostmaster(settings));
  }

  /** A session of the superuser. */
  connectRoot() {
    const { socketDirectory } = this.settings;
    return connectPlatform({ socketDirectory, password: ROOT_PASSWORD });
  }

  async addTenant(name: string): Promise<ThrowawayTenant> {
    const client = await this.connectRoot();
    const tenantId = newId("ten");
    const password = generatePassword();
    const verifier = await scramVerifier(password);
    await ensureTenant(client, { tenantId, verifier, connectionLimit: 50, dedicated: false });
    await client.end();
    return { tenantId, name, password, verifier };
  }

  async restart(): Promise<void> {
    this.postmaster = await startPostmaster(this.settings);
  }
}

type Call = ServerDuplexStream<WatchRoutesRequest, WatchRoutesResponse>;
type ResponseInit = MessageInitShape<typeof WatchRoutesResponseSchema>;

/** The side of control that streams routes. Remembers what gateways said. */
export class ThrowawayControl {
  readonly requests: WatchRoutesRequest[] = [];
  /** Woken as `request` with each of them. */
  readonly changes = new Waiters();
  /** What a gateway that connects is told first. */
  whole: ResponseInit = { generation: 1n, whole: true };
  readonly #server: Server;
  readonly #calls = new Set<Call>();
  port = 0;

  constructor() {
    this.#server = new Server();
    this.#server.addService(grpcService(RouteService), {
      watchRoutes: (call: Call) => {
        if (peerOfCall(call)?.kind !== "gateway") {
          call.emit("error", { code: status.PERMISSION_DENIED, details: "gateways only" });
          return;
        }
        this.#calls.add(call);
        call.on("data", (request: WatchRoutesRequest) => {
          this.requests.push(request);
          this.changes.wake("request");
          const last = request.usage?.events.at(-1);
          if (last !== undefined) this.send({ usageSequence: last.sequence });
          const span = request.watched.at(-1);
          if (span !== undefined) this.send({ watchedSequence: span.sequence });
        });
        call.on("error", () => undefined);
        call.on("close", () => this.#calls.delete(call));
        call.on("end", () => call.end());
        call.write(create(WatchRoutesResponseSchema, this.whole));
      },
    });
  }

  /** Listens on the port of before, or any. */
  async listen(authority: CertificateAuthority): Promise<void> {
    const issued = await authority.issue({
      peer: { kind: "control", id: "" },
      dnsNames: ["localhost"],
      ipAddresses: ["127.0.0.1"],
      validForDays: 1,
    });
    this.port = await bind(this.#server, { ...issued, caCertificate: authority.certificate });
  }

  send(message: ResponseInit): void {
    for (const call of this.#calls) call.write(create(WatchRoutesResponseSchema, message));
  }

  /** Ends every stream; who reconnects is served again. */
  dropCalls(): void {
    for (const call of this.#calls) call.end();
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

/** The side of an agent that gateways call. */
export class ThrowawayEdge {
  readonly hostId: HostId = newId("hst");
  wakes = 0;
  /** What a wake does. */
  onWake: () => Promise<void> = () => Promise.resolve();
  port = 0;
  readonly #server = new Server();

  constructor(socketDirectory: string) {
    this.#server.addService(grpcService(HostEdgeService), {
      wake: (_call: ServerUnaryCall<WakeRequest, unknown>, answer: sendUnaryData<unknown>) => {
        this.wakes += 1;
        this.onWake().then(
          () => answer(null, create(WakeResponseSchema)),
          (error) => answer({ code: status.UNAVAILABLE, details: String(error) }),
        );
      },
      connect: (call: ServerDuplexStream<ConnectRequest, unknown>) => {
        const socket = connect({ path: socketPath(socketDirectory), allowHalfOpen: true });
        call.on("data", ({ data }: ConnectRequest) => {
          if (data.length > 0 && !socket.write(data)) {
            call.pause();
            socket.once("drain", () => call.resume());
          }
        });
        call.on("end", () => socket.end());
        call.on("cancelled", () => socket.destroy());
        socket.on("data", (data: Buffer) => {
          if (call.write(create(ConnectResponseSchema, { data }))) return;
          socket.pause();
          call.once("drain", () => socket.resume());
        });
        socket.on("end", () => call.end());
        socket.on("error", (error) => {
          call.emit("error", { code: status.UNAVAILABLE, details: error.message });
        });
      },
    });
  }

  async listen(authority: CertificateAuthority): Promise<void> {
    const issued = await authority.issue({
      peer: { kind: "host", id: this.hostId },
      dnsNames: ["localhost"],
      ipAddresses: ["127.0.0.1"],
      validForDays: 1,
    });
    this.port = await bind(this.#server, { ...issued, caCertificate: authority.certificate });
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

/** One gateway, one control, one host with one instance, and two tenants. */
export class ThrowawayPlatform {
  readonly directory: string;
  readonly authority: CertificateAuthority;
  readonly control = new ThrowawayControl();
  readonly instance: ThrowawayInstance;
  readonly edge: ThrowawayEdge;
  readonly identity: Identity;
  gateway: Gateway | undefined;
  /** Of gateways that are started from now on. */
  logger: Logger = silent;

  private constructor(
    directory: string,
    authority: CertificateAuthority,
    instance: ThrowawayInstance,
    identity: Identity,
  ) {
    this.directory = directory;
    this.authority = authority;
    this.instance = instance;
    this.identity = identity;
    this.edge = new ThrowawayEdge(instance.settings.socketDirectory);
  }

  static async start(): Promise<ThrowawayPlatform> {
    const directory = await throwawayDirectory();
    const authority = await openCertificateAuthority(join(directory, "ca"));
    const identity = await throwawayIdentity(authority);
    const instance = await ThrowawayInstance.start(directory);
    const platform = new ThrowawayPlatform(directory, authority, instance, identity);
    await platform.control.listen(authority);
    await platform.edge.listen(authority);
    return platform;
  }

  /** Routes of active tenants to the instance. `remote` hides that it is on this machine. */
  tableOf(
    tenants: readonly ThrowawayTenant[],
    options: {
      readonly generation: bigint;
      readonly remote?: boolean;
      readonly state?: RouteState;
      readonly parked?: boolean;
      readonly hostRevoked?: boolean;
    },
  ): ResponseInit {
    const { instanceId, settings } = this.instance;
    const { generation, remote = false, state = RouteState.ACTIVE } = options;
    const { parked = false, hostRevoked = false } = options;
    return {
      generation,
      whole: true,
      routes: tenants.map(({ tenantId, name, verifier }) => ({
        tenantId,
        name,
        state,
        instanceId,
        role: tenantId,
        verifiers: [verifier],
        connectionLimit: 50,
      })),
      endpoints: [
        {
          instanceId,
          hostId: this.edge.hostId,
          bootId: remote ? "elsewhere" : bootId(),
          socketDirectory: settings.socketDirectory,
          edgeAddress: `127.0.0.1:${this.edge.port}`,
          database: DATABASE,
          parked,
          gone: hostRevoked,
          hostRevoked,
        },
      ],
    };
  }

  /** The platform's gateway, or with another identity one beside it. */
  async startGateway(
    changes: Partial<GatewayConfiguration> = {},
    identity = this.identity,
  ): Promise<Gateway> {
    const configuration = throwawayConfiguration(this.directory, changes);
    const linkAddress = `127.0.0.1:${this.control.port}`;
    const gateway = await startGateway(configuration, { ...identity, linkAddress }, this.logger);
    if (identity === this.identity) this.gateway = gateway;
    return gateway;
  }

  /** Resolves once the gateway has acknowledged a generation. */
  async followed(generation: bigint): Promise<void> {
    const look = async () => {
      const acknowledged = this.control.requests.some((each) => each.generation >= generation);
      return acknowledged ? true : undefined;
    };
    await this.control.changes.until("request", look, AbortSignal.timeout(10_000));
  }

  async stopGateway(): Promise<void> {
    const { gateway } = this;
    this.gateway = undefined;
    await gateway?.stop();
  }

  async remove(): Promise<void> {
    // The server first: it would survive this process.
    await this.instance.postmaster.stop("immediate");
    this.control.stop();
    this.edge.stop();
    await this.stopGateway();
    await rm(this.directory, { recursive: true, force: true });
  }
}

function bind(
  server: Server,
  own: {
    readonly certificate: string;
    readonly privateKey: string;
    readonly caCertificate: string;
  },
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", serverCredentials(own), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

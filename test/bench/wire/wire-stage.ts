/**
 * One real instance and every way to it: straight, through the gateway as a process of its own, and
 * through the peers it is held against. All of them reach the instance by its unix socket, but for
 * the straight way, which is TCP as it would be for clients elsewhere.
 */
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { DATABASE, SOCKET_PORT, TENANTS_ROLE } from "@aerodb/postgres";
import { RouteSchema } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { create } from "@bufbuild/protobuf";
import {
  ThrowawayPlatform,
  type ThrowawayTenant,
} from "../../../gateway/src/throwaway-platform.ts";
import { freePorts, releasePorts } from "../../free-ports.ts";
import type { Piece } from "../../piece-process.ts";
import { run } from "../../program.ts";
import { startBenchGateway } from "./bench-gateway.ts";
import { type Peer, startBareRelay, startHaproxy, startPgBouncer } from "./peers.ts";

/** One way to the tenant. */
export interface Target {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly tls?: boolean;
  /** The process in between, whose cost is counted. */
  readonly pid?: number;
}

const TENANT = "bench";
const ROOM_FOR_PLATFORM = 10;
const DEADLINE_MS = 7_200_000;
const GENERATION = 1n;

export interface StageOptions {
  /** Connections the instance takes. */
  readonly connections?: number;
}

export class WireStage {
  readonly platform: ThrowawayPlatform;
  readonly tenant: ThrowawayTenant;
  readonly direct: Target;
  readonly #peers: Peer[] = [];
  readonly #ports: readonly number[];
  readonly #connections: number;
  #gateway: Piece | undefined;

  private constructor(
    platform: ThrowawayPlatform,
    tenant: ThrowawayTenant,
    own: { readonly ports: readonly number[]; readonly connections: number },
  ) {
    const { ports, connections } = own;
    this.platform = platform;
    this.tenant = tenant;
    this.#ports = ports;
    this.#connections = connections;
    const host = loopbackOf(ports[0] ?? 0);
    this.direct = { name: "direct", host, port: SOCKET_PORT, database: DATABASE };
  }

  static async open({ connections = 400 }: StageOptions = {}): Promise<WireStage> {
    const platform = await ThrowawayPlatform.start();
    const ports = await freePorts(4);
    const tenant = await platform.instance.addTenant(TENANT);
    const stage = new WireStage(platform, tenant, { ports, connections });
    try {
      await stage.#openInstance();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  /** The gateway's session port. It is started the first time. */
  async gateway(): Promise<Target> {
    const { pid, ready } = await this.#startedGateway();
    return gatewayTarget("gateway", pid, (await ready)["pgPort"]);
  }

  /** Its pooled port, with as few servers as PgBouncer has. */
  async pooledGateway(): Promise<Target> {
    const { pid, ready } = await this.#startedGateway();
    return gatewayTarget("gateway, pooled", pid, (await ready)["pgPooledPort"]);
  }

  /** The next that is asked for is a new process. */
  async stopGateway(): Promise<void> {
    const gateway = this.#gateway;
    this.#gateway = undefined;
    await gateway?.kill();
  }

  /** PgBouncer with a server connection for each client, and with few for many. */
  async pgBouncer(): Promise<{ readonly session: Target; readonly transaction: Target }> {
    const [, port = 0] = this.#ports;
    const { tenant, platform } = this;
    const peer = await startPgBouncer({
      ...this.#way(port),
      tenant,
      authority: platform.authority,
    });
    this.#peers.push(peer);
    const here = { host: "127.0.0.1", port, pid: peer.pid };
    return {
      session: { ...here, name: "PgBouncer, session", database: "session" },
      transaction: { ...here, name: "PgBouncer, transaction", database: "transaction" },
    };
  }

  async haproxy(): Promise<Target> {
    const [, , port = 0] = this.#ports;
    const peer = await startHaproxy(this.#way(port));
    this.#peers.push(peer);
    return { name: "HAProxy", host: "127.0.0.1", port, database: DATABASE, pid: peer.pid };
  }

  /** Node, passing bytes on and no more. */
  async bareRelay(): Promise<Target> {
    const [, , , port = 0] = this.#ports;
    const peer = await startBareRelay({ ...this.#way(port), authority: this.platform.authority });
    this.#peers.push(peer);
    return { name: "bare Node", host: "127.0.0.1", port, database: DATABASE, pid: peer.pid };
  }

  /** Runs a libpq program as the tenant, and returns what it printed. */
  async runClient(
    target: Target,
    program: string,
    words: readonly string[],
    input = "",
  ): Promise<string> {
    const environment = clientEnvironment(target, this.tenant);
    const ended = await run(program, words, { environment, input, deadlineMs: DEADLINE_MS });
    if (ended.code === 0) return ended.stdout;
    const said = ended.stderr.slice(-2_000);
    throw new Error(`${program} through ${target.name} ended with ${ended.code}: ${said}`);
  }

  /** pgbench's own tables, 100,000 rows. */
  async prepareTables(): Promise<void> {
    await this.runClient(this.direct, "pgbench", ["--initialize", "--quiet", "--scale", "1"]);
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#peers.map((peer) => peer.stop()));
    await this.stopGateway().catch(() => undefined);
    await this.platform.remove();
    releasePorts(this.#ports);
  }

  /** Lets the instance listen on an address of its own, with room for many. */
  async #openInstance(): Promise<void> {
    const connections = this.#connections;
    const { instance } = this.platform;
    const { dataDirectory } = instance.settings;
    const root = await instance.connectRoot();
    await root.query(`alter role ${this.tenant.tenantId} connection limit ${connections}`);
    await root.end();
    const settings = [
      `listen_addresses = '${this.direct.host}'`,
      `max_connections = ${connections + ROOM_FOR_PLATFORM}`,
    ];
    const who = `host ${DATABASE} +${TENANTS_ROLE} 127.0.0.0/8 scram-sha-256`;
    await appendFile(join(dataDirectory, "postgresql.conf"), `${settings.join("\n")}\n`);
    await appendFile(join(dataDirectory, "pg_hba.conf"), `${who}\n`);
    await instance.postmaster.stop("fast");
    await instance.restart();
  }

  async #startedGateway(): Promise<Piece> {
    if (this.#gateway !== undefined) return this.#gateway;
    const { control } = this.platform;
    const table = this.platform.tableOf([this.tenant], { generation: GENERATION });
    const routes = table.routes?.map((route) => {
      return { ...create(RouteSchema, route), connectionLimit: this.#connections };
    });
    control.whole = { ...table, routes: routes ?? [] };
    const piece = await startBenchGateway(this.platform);
    this.#gateway = piece;
    await this.platform.followed(GENERATION);
    return piece;
  }

  #way(port: number) {
    const { settings } = this.platform.instance;
    const { socketDirectory, owner } = settings;
    return { directory: this.platform.directory, socketDirectory, port, owner };
  }
}

/** What a libpq program is told of where to go and who it is. */
function clientEnvironment(target: Target, tenant: ThrowawayTenant) {
  return {
    PGHOST: target.host,
    PGPORT: `${target.port}`,
    PGDATABASE: target.database,
    PGUSER: tenant.tenantId,
    PGPASSWORD: tenant.password,
    PGSSLMODE: target.tls === true ? "require" : "disable",
    PGGSSENCMODE: "disable",
  };
}

function gatewayTarget(name: string, pid: number, port = 0): Target {
  return { name, host: "127.0.0.1", port, database: TENANT, pid };
}

/**
 * An address of this machine that nobody else has, after a port that is promised to us: instances
 * listen on one port only.
 */
function loopbackOf(port: number): string {
  return `127.1.${port >> 8}.${port & 0xff}`;
}

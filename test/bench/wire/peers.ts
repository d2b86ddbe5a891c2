/** What the gateway is held against: PgBouncer and HAProxy as Debian has them. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CertificateAuthority } from "@aerodb/identity/authority";
import { DATABASE, type Owner, SOCKET_PORT, socketPath } from "@aerodb/postgres";
import { newId, within } from "@aerodb/runtime";
import type { ThrowawayTenant } from "../../../gateway/src/throwaway-platform.ts";
import { cleanEnvironment, isInstalled } from "../../program.ts";
import { until } from "../../until.ts";
import { pgbenchMissing } from "../pgbench.ts";

export interface Peer {
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

/** Where a peer listens, and the instance behind it. */
export interface Way {
  readonly directory: string;
  readonly socketDirectory: string;
  readonly port: number;
  /** Who the server runs as: PgBouncer refuses to be root. */
  readonly owner: Owner | undefined;
}

/** Server connections of a pool, in PgBouncer and in the gateway. */
export const POOL_CONNECTIONS = 16;
const SESSIONS = 200;
const STOP_MS = 10_000;

/** Why there is nothing to compare with here; undefined when there is. */
export function peersMissing(): string | undefined {
  if (!isInstalled("pgbouncer")) return "pgbouncer is not installed (Debian: pgbouncer)";
  if (!isInstalled("haproxy", "-v")) return "haproxy is not installed (Debian: haproxy)";
  return pgbenchMissing();
}

/** With a database `session` and a database `transaction`, each pooled as it says. */
export async function startPgBouncer(
  way: Way & { readonly tenant: ThrowawayTenant; readonly authority: CertificateAuthority },
): Promise<Peer> {
  const { tenantId, verifier } = way.tenant;
  const directory = ownDirectory(way, "pgbouncer");
  const keep = (name: string, text: string) => secretFile(join(directory, name), text, way.owner);
  const { certificate, key } = await certificateIn(directory, way);
  // With a password it would derive the keys of it at each login, which it need not.
  const users = keep("users", `"${tenantId}" "${verifier}"\n`);
  const server = `host=${way.socketDirectory} port=${SOCKET_PORT} dbname=${DATABASE}`;
  const lines = [
    "[databases]",
    `session = ${server} pool_mode=session pool_size=${SESSIONS}`,
    `transaction = ${server} pool_mode=transaction pool_size=${POOL_CONNECTIONS}`,
    "[pgbouncer]",
    "listen_addr = 127.0.0.1",
    `listen_port = ${way.port}`,
    "unix_socket_dir =",
    "auth_type = scram-sha-256",
    `auth_file = ${users}`,
    "max_client_conn = 12000",
    "client_tls_sslmode = allow",
    `client_tls_cert_file = ${certificate}`,
    `client_tls_key_file = ${key}`,
    "ignore_startup_parameters = extra_float_digits",
    "log_connections = 0",
    "log_disconnections = 0",
  ];
  const configuration = keep("pgbouncer.ini", `${lines.join("\n")}\n`);
  return startPeer(way, "pgbouncer", [configuration]);
}

/** One thread that passes bytes on. */
export function startHaproxy(way: Way): Promise<Peer> {
  const directory = ownDirectory(way, "haproxy");
  const lines = [
    "global",
    "  nbthread 1",
    "  maxconn 4000",
    "defaults",
    "  mode tcp",
    "  timeout connect 5s",
    "  timeout client 1h",
    "  timeout server 1h",
    "frontend clients",
    `  bind 127.0.0.1:${way.port}`,
    "  default_backend instance",
    "backend instance",
    `  server instance unix@${socketPath(way.socketDirectory)}`,
  ];
  const path = join(directory, "haproxy.cfg");
  return startPeer(way, "haproxy", [
    "-db",
    "-f",
    secretFile(path, `${lines.join("\n")}\n`, way.owner),
  ]);
}

/** What passing bytes on costs in Node, whoever does it. */
export async function startBareRelay(
  way: Way & { readonly authority: CertificateAuthority },
): Promise<Peer> {
  const { certificate, key } = await certificateIn(ownDirectory(way, "bare-relay"), way);
  const program = fileURLToPath(new URL("bare-relay.ts", import.meta.url));
  const words = [program, `${way.port}`, socketPath(way.socketDirectory), certificate, key];
  // As ourselves: the program may lie where others cannot read.
  return startPeer({ ...way, owner: undefined }, "bare-relay", words, process.execPath);
}

async function certificateIn(
  directory: string,
  { authority, owner }: Way & { readonly authority: CertificateAuthority },
) {
  const issued = await authority.issue({
    peer: { kind: "gateway", id: newId("gtw") },
    dnsNames: ["localhost"],
    ipAddresses: ["127.0.0.1"],
    validForDays: 1,
  });
  return {
    certificate: secretFile(join(directory, "server.crt"), issued.certificate, owner),
    key: secretFile(join(directory, "server.key"), issued.privateKey, owner),
  };
}

async function startPeer(
  way: Way,
  name: string,
  words: readonly string[],
  program = name,
): Promise<Peer> {
  const child = spawn(program, words, {
    cwd: join(way.directory, name),
    env: cleanEnvironment(),
    stdio: ["ignore", "pipe", "pipe"],
    ...way.owner,
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4_000)));
  }
  child.on("error", (error) => (said += error.message));
  await until(`${name} to listen`, async () => {
    if (child.exitCode !== null || child.pid === undefined) throw new Error(said);
    return accepts(way.port);
  });
  return { pid: child.pid ?? 0, stop: () => stopPeer(way, name, child) };
}

async function stopPeer(way: Way, name: string, child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await within({ ms: STOP_MS, expecting: `${name} to be dead` }, exited);
  }
  rmSync(join(way.directory, name), { recursive: true, force: true });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

function ownDirectory({ directory, owner }: Way, name: string): string {
  const path = join(directory, name);
  mkdirSync(path, { mode: 0o700 });
  if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
  return path;
}

function secretFile(path: string, text: string, owner: Owner | undefined): string {
  writeFileSync(path, text, { mode: 0o600 });
  if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
  return path;
}

/**
 * The one way the platform's own sessions are opened inside instances. What a tenant may have set
 * for its role is overruled by startup options, which rank above it: names resolve in pg_catalog
 * first, no role is assumed, nothing waits for ever, and nothing is silently read-only or filtered.
 */
import { Fault, messageOf } from "@aerodb/model";
import { Client } from "pg";
import { instanceStream } from "./instance-socket.ts";
import { DATABASE, METER_ROLE, POOL_ROLE, ROOT_ROLE, SOCKET_PORT } from "./names.ts";

export interface ConnectionSettings {
  readonly socketDirectory: string;
  readonly password: string;
  /** DATABASE when left out. */
  readonly database?: string;
  /** 10 s when left out. */
  readonly connectTimeoutMs?: number;
  /** 30 s when left out. */
  readonly statementTimeoutMs?: number;
  /** 5 s when left out. */
  readonly lockTimeoutMs?: number;
}

/**
 * A session of the platform's superuser, which must touch no object of a tenant. The caller ends
 * it.
 */
export function connectPlatform(settings: ConnectionSettings): Promise<Client> {
  return connect(settings, ROOT_ROLE);
}

/** A session of the login that measures. The caller ends it. */
export function connectMeter(settings: ConnectionSettings): Promise<Client> {
  return connect(settings, METER_ROLE);
}

/** A session as a tenant. The caller ends it. */
export function connectTenant(
  settings: ConnectionSettings & { readonly tenantId: string },
): Promise<Client> {
  return connect(settings, settings.tenantId);
}

/**
 * A session of the login of pooled requests, for `pooledRequest` only: what it is asked runs under
 * the policies of the tenant that it is asked for. The caller ends it.
 */
export function connectPool(settings: ConnectionSettings): Promise<Client> {
  return connect(settings, POOL_ROLE, { name: "aerodb-pool", rowSecurity: "on" });
}

interface SessionKind {
  readonly name: string;
  /** Off: a statement that a policy would filter fails instead. */
  readonly rowSecurity: "on" | "off";
}

const OWN: SessionKind = { name: "aerodb", rowSecurity: "off" };

async function connect(
  settings: ConnectionSettings,
  user: string,
  kind: SessionKind = OWN,
): Promise<Client> {
  const client = new Client({
    host: settings.socketDirectory,
    port: SOCKET_PORT,
    stream: () => instanceStream(),
    user,
    password: settings.password,
    database: settings.database ?? DATABASE,
    ssl: false,
    application_name: kind.name,
    fallback_application_name: kind.name,
    client_encoding: "UTF8",
    options: startupOptions(settings, kind),
    connectionTimeoutMillis: settings.connectTimeoutMs ?? 10_000,
  });
  // A session that dies while idle says so to nobody: the next query fails with the reason.
  client.on("error", () => undefined);
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => undefined);
    const where = `the instance at ${settings.socketDirectory} as ${user}`;
    const sentence = `Could not connect to ${where}: ${messageOf(error)}.`;
    throw new Fault("UNAVAILABLE", sentence, { cause: error });
  }
  return client;
}

/** The pid of a session's process, as its server counts them; undefined once it has ended. */
export function backendPidOf(session: Client): number | undefined {
  const { processID } = session as unknown as { readonly processID?: number | null };
  return processID ?? undefined;
}

function startupOptions(settings: ConnectionSettings, { rowSecurity }: SessionKind): string {
  const pins = {
    search_path: "pg_catalog,pg_temp",
    role: "none",
    statement_timeout: settings.statementTimeoutMs ?? 30_000,
    lock_timeout: settings.lockTimeoutMs ?? 5_000,
    idle_in_transaction_session_timeout: 60_000,
    row_security: rowSecurity,
    default_transaction_read_only: "off",
    default_transaction_isolation: "read\\ committed",
    check_function_bodies: "off",
    standard_conforming_strings: "on",
    synchronous_commit: "on",
  };
  return Object.entries(pins)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(" ");
}

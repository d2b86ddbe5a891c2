/** Tenants for test files of this package, in a throwaway server with the walls of its kind. */
import type { TenantId } from "@aerodb/model";
import { Client, type ClientConfig, DatabaseError } from "pg";
import { connectPlatform } from "./connection.ts";
import { quoteIdentifier } from "./identifier.ts";
import { DATABASE, SOCKET_PORT } from "./names.ts";
import { generatePassword, scramVerifier } from "./scram.ts";
import { ensureTenant } from "./tenant-role.ts";
import { ROOT_PASSWORD, type ThrowawayServer, throwawayServer } from "./throwaway-instance.ts";
import { ensureWalls, type Walls } from "./walls.ts";

export interface ThrowawayTenant {
  readonly tenantId: TenantId;
  /** Its role and schema, quoted. */
  readonly name: string;
  readonly desired: Parameters<typeof ensureTenant>[1];
  /** A session as its own programs open it, which pins nothing. The caller ends it. */
  connect(over?: ClientConfig): Promise<Client>;
  repair(): Promise<void>;
}

export interface WalledServer {
  readonly server: ThrowawayServer;
  readonly root: Client;
  newTenant(): Promise<ThrowawayTenant>;
  remove(): Promise<void>;
}

/** A server whose tenants are kept apart as these walls say. */
export async function walledServer(walls: Walls, enginePackage?: string): Promise<WalledServer> {
  const kind = walls.shared ? "shared" : "dedicated";
  const server = await throwawayServer({ kind, maxConnections: 40 }, enginePackage);
  const root = await connectPlatform({ ...server.settings, password: ROOT_PASSWORD });
  await ensureWalls(root, walls);
  let last = 0;
  return { server, root, newTenant, remove };

  async function newTenant(): Promise<ThrowawayTenant> {
    last += 1;
    const tenantId = `ten_${last.toString().padStart(26, "0")}` as TenantId;
    const password = generatePassword();
    const verifier = await scramVerifier(password);
    const desired = { tenantId, verifier, connectionLimit: 10, dedicated: !walls.shared };
    await ensureTenant(root, desired);
    const connect = async (over: ClientConfig = {}) => {
      const client = new Client({
        host: server.settings.socketDirectory,
        port: SOCKET_PORT,
        database: DATABASE,
        user: tenantId,
        password,
        ...over,
      });
      client.on("error", () => undefined);
      await client.connect();
      return client;
    };
    const repair = () => ensureTenant(root, desired);
    return { tenantId, name: quoteIdentifier(tenantId), desired, connect, repair };
  }

  async function remove(): Promise<void> {
    await root.end();
    await server.remove();
  }
}

/** How a statement ends: the SQLSTATE and the sentence, or "done". */
export async function outcomeOf(client: Client, statement: string): Promise<string> {
  try {
    await client.query(statement);
    return "done";
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    return `${error.code} ${error.message} ${error.hint ?? ""}`;
  }
}

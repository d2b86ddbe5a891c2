import { join } from "node:path";

/** The one database of an instance: tenants live in it, and the catalogue in its own. */
export const DATABASE = "aerodb";
/** The bootstrap superuser of every instance: the platform's own, never a tenant's. */
export const ROOT_ROLE = "aerodb_root";
/** The login that measures an instance from the inside: no superuser, and owner of nothing. */
export const METER_ROLE = "aerodb_meter";
/** The login of pooled requests: it may become any schema tenant of its instance, and is nobody. */
export const POOL_ROLE = "aerodb_pool";
/** Every tenant's role is a member of this one, which may connect to the database. */
export const TENANTS_ROLE = "aerodb_tenants";
/** Every tenant whose writes are accepted is a member of this one too: it may fill the disk. */
export const WRITERS_ROLE = "aerodb_writers";
/** Where the platform keeps what tenants may call: they use it and never create in it. */
export const PLATFORM_SCHEMA = "aerodb";
/** Where the tables are that all tenants of a shared instance share. */
export const SHARED_SCHEMA = "shared";
/** Owner of what is in SHARED_SCHEMA. Nobody can log in as it, and it is a member of nothing. */
export const SHARED_ROLE = "aerodb_shared";
/** Instances have no TCP port: this number only names the socket file. */
export const SOCKET_PORT = 5432;
export const SOCKET_FILE = `.s.PGSQL.${SOCKET_PORT}`;

/** Where to connect to an instance. */
export function socketPath(socketDirectory: string): string {
  return join(socketDirectory, SOCKET_FILE);
}

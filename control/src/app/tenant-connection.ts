import type { TenantInstance } from "../store/tenant-instance.ts";
import type { Tenant } from "../store/tenants.ts";
import type { ControlSettings } from "./control.ts";

/** What a Postgres client needs. */
export interface Connection {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Set in the answer to a create and a rotation only; empty otherwise. */
  readonly password: string;
  /** All of the above; without the password where that is not shown. */
  readonly uri: string;
  /** The same through the pooled port. */
  readonly pooledUri: string;
}

/** A tenant as the API shows it. */
export interface TenantView extends Tenant {
  readonly databaseUrl: string;
  readonly connection: Connection;
  /** What is chosen for Postgres itself, and what its host says; only where one tenant is shown. */
  readonly postgres?: Pick<TenantInstance, "settings" | "pendingRestart" | "extensions" | "walls">;
}

/** What to tell the caller about a tenant. A password is told once, by who just made it. */
export function viewTenant(settings: ControlSettings, tenant: Tenant, password = ""): TenantView {
  const { publicHost: host, publicPort: port, publicPooledPort: pooledPort } = settings;
  const named = host.includes(":") ? `[${host}]` : host;
  const login = password === "" ? tenant.id : `${tenant.id}:${encodeURIComponent(password)}`;
  return {
    ...tenant,
    databaseUrl: `https://${tenant.name}.${settings.baseDomain}`,
    connection: {
      host,
      port,
      database: tenant.name,
      user: tenant.id,
      password,
      uri: `postgres://${login}@${named}:${port}/${tenant.name}`,
      pooledUri: `postgres://${login}@${named}:${pooledPort}/${tenant.name}`,
    },
  };
}

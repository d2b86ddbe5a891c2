/** What an instance holds of a tenant, seen from the platform, past gateways and API. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { connectPlatform } from "@aerodb/postgres";
import type pg from "pg";
import { onTestFinished } from "vitest";
import type { Platform } from "./platform.ts";
import type { Tenant } from "./platform-client.ts";
import { until } from "./until.ts";

/** The instance of a tenant, with a session of the superuser in it, closed after the test. */
export interface InsideInstance {
  readonly socketDirectory: string;
  readonly root: pg.Client;
}

/** Waits until the instance runs. */
export async function openInstanceOf(platform: Platform, tenant: Tenant): Promise<InsideInstance> {
  const agents = join(platform.home, "state", "agents");
  const inside = await until(`an instance that holds ${tenant.name}`, async () => {
    const names = readdirSync(agents, { recursive: true, encoding: "utf8" });
    for (const socket of names.filter((name) => name.endsWith("/.s.PGSQL.5432"))) {
      const socketDirectory = join(agents, dirname(socket));
      const agent = socket.split("/")[0] ?? "";
      const password = readFileSync(join(agents, agent, "root-password"), "utf8").trim();
      const root = await connectPlatform({ socketDirectory, password });
      if ((await roleOf(root, tenant)) !== undefined) return { socketDirectory, root };
      await root.end();
    }
    return undefined;
  });
  onTestFinished(() => inside.root.end());
  return inside;
}

/** Whether the role may log in; undefined when there is none. */
export async function roleOf(
  root: pg.Client,
  { tenant_id: id }: Tenant,
): Promise<{ readonly rolcanlogin: boolean } | undefined> {
  const text = "select rolcanlogin from pg_catalog.pg_roles where rolname = $1";
  return (await root.query(text, [id])).rows[0];
}

export async function sessionsOf(root: pg.Client, { tenant_id: id }: Tenant): Promise<number> {
  const text = "select count(*)::int as n from pg_catalog.pg_stat_activity where usename = $1";
  return (await root.query(text, [id])).rows[0].n;
}

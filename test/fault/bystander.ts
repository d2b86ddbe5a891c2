/** A tenant that has nothing to do with a fault, and must not notice it. */
import { expect } from "vitest";
import type { Platform } from "../platform.ts";
import type { Tenant } from "../platform-client.ts";

export interface Bystander {
  readonly tenant: Tenant;
  readonly instanceId: string;
  /** Throws unless its server is the same and the session that was open answers and writes. */
  readonly expectUndisturbed: () => Promise<void>;
}

/** A tenant with an instance of its own, and which that is. */
export async function createDedicated(
  platform: Platform,
  name: string,
  plan = "pro",
): Promise<{ readonly tenant: Tenant; readonly instanceId: string }> {
  const before = platform.pieces().instances;
  const tenant = await platform.createTenant({ name, plan, isolation: "database" });
  const added = [...platform.pieces().instances.keys()].filter((id) => !before.has(id));
  expect(added).toHaveLength(1);
  return { tenant, instanceId: added[0] ?? "" };
}

export async function createBystander(platform: Platform, name: string): Promise<Bystander> {
  const { tenant, instanceId } = await createDedicated(platform, name);
  const server = platform.pieces().instances.get(instanceId);
  const session = await platform.connect(tenant.connection.uri);
  await session.query("create table written (n int)");
  let writes = 0;
  async function expectUndisturbed(): Promise<void> {
    await session.query("insert into written values (1)");
    writes += 1;
    const { rows } = await session.query("select count(*)::int as n from written");
    expect(rows, "what the bystander wrote").toEqual([{ n: writes }]);
    expect(platform.pieces().instances.get(instanceId), "the bystander's server").toBe(server);
  }
  await expectUndisturbed();
  return { tenant, instanceId, expectUndisturbed };
}

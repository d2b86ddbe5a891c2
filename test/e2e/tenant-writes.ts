/** A tenant's quotas as an operator sets them, and what its clients see of them. */
import { expect } from "vitest";
import type { Platform } from "../platform.ts";
import { queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";

/** Puts this in the place of all that the tenant has. Control acts on it before it answers. */
export async function setQuotas(platform: Platform, tenant: Tenant, body: object): Promise<void> {
  const path = `/v1/tenants/${tenant.name}/quotas`;
  const { status, body: answer } = await platform.request("PUT", path, body);
  expect([status, answer]).toEqual([200, expect.anything()]);
}

/** What comes of a statement over a session of its own: "done", or the SQLSTATE. */
export async function outcome({ connection }: Tenant, text: string): Promise<string> {
  try {
    await queryOnce(connection.uri, text);
    return "done";
  } catch (error) {
    return (error as { readonly code?: string }).code ?? String(error);
  }
}

/** Waits until inserting into the tenant's table `kept` comes to that. */
export async function writingBecomes(tenant: Tenant, expected: string): Promise<void> {
  await until(`writing to come to ${expected}`, async () => {
    return (await outcome(tenant, "insert into kept values (1)")) === expected;
  });
}

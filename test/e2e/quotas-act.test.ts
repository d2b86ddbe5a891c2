/**
 * What follows from a quota and a spend cap on a running platform, as a tenant's client sees it.
 */
import { expect, test } from "vitest";
import { openCatalogue } from "../fault/catalogue.ts";
import { usePlatform } from "../platform.ts";
import { connectionError, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";
import { outcome, setQuotas, writingBecomes } from "./tenant-writes.ts";

const platform = usePlatform();

async function statusOf({ name }: Tenant): Promise<readonly [string, string]> {
  const { body } = await platform().request("GET", `/v1/tenants/${name}`);
  return [body.status, body.status_reason ?? ""];
}

/**
 * Egress for which a free tenant is asked 90 dollars and more, as if a gateway had told of it: in
 * the ledger, which the hour is derived from anew, and in the hour, so that nobody waits for that.
 */
async function spendMuch({ tenant_id: id }: Tenant): Promise<void> {
  const catalogue = await openCatalogue(platform());
  const bytes = 1_005 * 1_073_741_824;
  await catalogue.query(
    `with event as (
       insert into usage_events
              (source, sequence, meter, tenant_id, value, started_at, ended_at)
       values ('gtw_of_the_test', 1, 'egress_bytes', $1, $2, now(), now())
     )
     insert into usage_records as r (tenant_id, meter, hour, amount)
     values ($1, 'egress_bytes', date_trunc('hour', now(), 'UTC'), $2)
         on conflict (tenant_id, meter, hour) do update set amount = r.amount + excluded.amount`,
    [id, bytes],
  );
  await catalogue.end();
}

test("a tenant at its spend cap may read and remove, and writes when it is raised", async () => {
  const tenant = await platform().createTenant({ name: "capped", plan: "free" });
  expect(await outcome(tenant, "create table kept (n int)")).toBe("done");
  await spendMuch(tenant);
  const cap = (quota: number) => ({ resource: "spend_micro_usd_per_month", quota: String(quota) });
  await setQuotas(platform(), tenant, { overrides: [cap(20_000_000)] });
  await writingBecomes(tenant, "53100");
  expect(await outcome(tenant, "delete from kept")).toBe("done");
  expect((await statusOf(tenant))[1]).toMatch(/the month has come to its spend cap/);
  const { body } = await platform().request("GET", "/v1/billing/summary");
  expect(Number(body.running.total_micro_usd)).toBeGreaterThan(20_000_000);
  await setQuotas(platform(), tenant, { overrides: [cap(900_000_000)] });
  await writingBecomes(tenant, "done");
});

test("what takes most room is asked of the tenant's host", async () => {
  const tenant = await platform().createTenant({ name: "roomy", plan: "free" });
  await outcome(
    tenant,
    "create table kept as select repeat('x', 1000) from generate_series(1, 500)",
  );
  const path = `/v1/tenants/${tenant.name}/largest-relations`;
  const { body } = await platform().request("GET", path);
  expect(body.relations).toMatchObject([{ name: "kept", kind: "table", schema: tenant.tenant_id }]);
  expect(Number(body.relations[0].bytes)).toBeGreaterThan(500_000);
});

test("a tenant that stays at its quota is suspended, until that is raised", async () => {
  const tenant = await platform().createTenant({ name: "staying", plan: "free" });
  expect(await outcome(tenant, "create table kept (n int)")).toBe("done");
  const storage = (quota: number) => ({ resource: "storage_bytes", quota: String(quota) });
  await setQuotas(platform(), tenant, { overrides: [storage(0)], grace: { seconds: "0" } });
  await until("it to be refused", async () => {
    return (await connectionError(tenant.connection.uri)).code === "28000";
  });
  const [status, reason] = await statusOf(tenant);
  expect(status).toBe("suspended");
  expect(reason).toMatch(/^Its storage quota .* served again once the quota is raised/);
  await setQuotas(platform(), tenant, {
    overrides: [storage(1_000_000_000)],
    grace: { seconds: "0" },
  });
  await writingBecomes(tenant, "done");
  await platform().settled();
});

/** What others do, and what a tenant has left behind that runs, keeps no tenant alive. */
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { endRunaways } from "./runaway-workers.ts";
import { dropTenant } from "./tenant-drop.ts";
import { suspendTenant } from "./tenant-suspend.ts";
import { type ThrowawayTenant, type WalledServer, walledServer } from "./throwaway-tenant.ts";

const SETTING_UP_MS = 60_000;

let walled: WalledServer;
let mallory: ThrowawayTenant;
let client: Client;

beforeAll(async () => {
  walled = await walledServer({ shared: true, forced: false });
  const { dataDirectory } = walled.server.settings;
  await appendFile(join(dataDirectory, "postgresql.conf"), "autovacuum_naptime = '1s'\n");
  await walled.root.query("select pg_reload_conf()");
});
afterAll(() => walled.remove());

async function isThere({ tenantId }: ThrowawayTenant): Promise<boolean> {
  const text = "select from pg_roles where rolname = $1";
  return (await walled.root.query(text, [tenantId])).rowCount === 1;
}

test("a lock on what names it by a policy keeps nobody", async () => {
  const tenant = await walled.newTenant();
  mallory = await walled.newTenant();
  client = await mallory.connect();
  await client.query(`create table hold (i int);
    create policy p on hold as restrictive to ${tenant.name} using (true)`);
  await client.query("begin; lock table hold in access share mode");
  await dropTenant(walled.root, tenant.tenantId);
  expect(await isThere(tenant)).toBe(false);
  await client.end();
});

test("what others have that depends on what is its own keeps nobody, and goes", async () => {
  const tenant = await walled.newTenant();
  const session = await tenant.connect();
  await session.query("create table t (i int)");
  await session.end();
  const oids = await walled.root.query(
    `select (select oid from pg_proc where proname = $1) as door,
       (select oid from pg_namespace where nspname = $1) as schema,
       (select oid from pg_class where relname = 't' and relowner = $1::regrole) as table`,
    [tenant.tenantId],
  );
  const { door, schema, table } = oids.rows[0];
  const other = await walled.newTenant();
  client = await other.connect();
  // Postgres fires no event trigger for these.
  for (const [name, what] of [
    ["a", `'${door}'::regprocedure`],
    ["b", `'${schema}'::regnamespace`],
    ["c", `'${table}'::regclass`],
  ]) {
    await client.query(`explain analyze create materialized view ${name} as select ${what} as x`);
  }
  await dropTenant(walled.root, tenant.tenantId);
  expect(await isThere(tenant)).toBe(false);
  expect((await client.query("select from pg_matviews")).rowCount).toBe(0);
  await client.end();
});

/** How many workers analyze tables of the tenant. */
async function workers({ tenantId }: ThrowawayTenant): Promise<number> {
  const { rowCount } = await walled.root.query(
    `select from pg_stat_progress_analyze p join pg_class c on c.oid = p.relid
     join pg_roles r on r.oid = c.relowner where r.rolname = $1`,
    [tenantId],
  );
  return rowCount ?? 0;
}

async function keepsWorkersBusy(): Promise<ThrowawayTenant> {
  const tenant = await walled.newTenant();
  const session = await tenant.connect();
  await session.query(`
    create function stays(i int) returns int immutable language plpgsql as $$ begin
      if session_user = current_user then return i; end if;
      loop begin perform pg_sleep(1); exception when query_canceled then null; end; end loop;
      end $$;
    create table t (i int)
      with (autovacuum_analyze_threshold = 1, autovacuum_analyze_scale_factor = 0);
    create index on t (stays(i)); insert into t select generate_series(1, 100)`);
  await session.end();
  await expect.poll(() => workers(tenant), { timeout: SETTING_UP_MS, interval: 200 }).toBe(1);
  return tenant;
}

test(
  "a worker that runs functions of a suspended tenant is ended with its sessions",
  async () => {
    const tenant = await keepsWorkersBusy();
    const before = await workerPids();
    await suspendTenant(walled.root, { ...tenant.desired, tenantId: tenant.tenantId });
    expect(before.some((pid) => pid > 0)).toBe(true);
    await expect
      .poll(async () => (await workerPids()).filter((pid) => before.includes(pid)))
      .toEqual([]);
    await dropTenant(walled.root, tenant.tenantId);
    expect(await isThere(tenant)).toBe(false);
  },
  SETTING_UP_MS + 30_000,
);

test(
  "a worker that comes to no end is ended, and comes to that table no more",
  async () => {
    const tenant = await keepsWorkersBusy();
    const before = await workerPids();
    expect(await endRunaways(walled.root)).toEqual([]);
    // Who has just begun goes on.
    expect(await workerPids()).toEqual(before);
    const table = `${tenant.tenantId}.t`;
    await expect
      .poll(() => endRunaways(walled.root, 100), { timeout: 10_000 })
      .toEqual([{ tenantId: tenant.tenantId, table }]);
    await expect.poll(() => workers(tenant)).toBe(0);
    const options = "select reloptions from pg_class where oid = $1::regclass";
    const { rows } = await walled.root.query(options, [table]);
    expect(rows[0].reloptions).toContain("autovacuum_enabled=off");
    await dropTenant(walled.root, tenant.tenantId);
  },
  SETTING_UP_MS + 30_000,
);

test(
  "one whose table cannot be taken out keeps no other from it",
  async () => {
    const [stubborn, other] = [await keepsWorkersBusy(), await keepsWorkersBusy()];
    await walled.root.query(`revoke all on schema ${stubborn.name} from ${stubborn.name}`);
    await expect
      .poll(async () => [await workers(stubborn), await workers(other)], { timeout: 30_000 })
      .toEqual([1, 1]);
    const found = [stubborn, other].map(({ tenantId }) => ({ tenantId, table: `${tenantId}.t` }));
    expect(await endRunaways(walled.root, 0)).toEqual(expect.arrayContaining(found));
    const options = "select reloptions::text from pg_class where oid = $1::regclass";
    const optionsOf = async ({ name }: ThrowawayTenant) => {
      return (await walled.root.query(options, [`${name}.t`])).rows[0].reloptions;
    };
    expect(await optionsOf(other)).toContain("autovacuum_enabled=off");
    expect(await optionsOf(stubborn)).not.toContain("autovacuum_enabled=off");
    for (const { tenantId } of [stubborn, other]) await dropTenant(walled.root, tenantId);
  },
  2 * SETTING_UP_MS + 60_000,
);

async function workerPids(): Promise<readonly number[]> {
  const { rows } = await walled.root.query<{ pid: number }>(
    "select pid from pg_stat_progress_analyze",
  );
  return rows.map(({ pid }) => pid);
}

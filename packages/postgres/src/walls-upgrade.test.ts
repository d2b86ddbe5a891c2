import { afterAll, beforeAll, expect, test } from "vitest";
import { connectPlatform, connectPool } from "./connection.ts";
import { poolLogin, poolPassword } from "./pool-login.ts";
import { pooledRequest } from "./pooled-request.ts";
import { ensureTenant, isAsDesired, listTenants } from "./tenant-role.ts";
import { ROOT_PASSWORD } from "./throwaway-instance.ts";
import {
  outcomeOf,
  type ThrowawayTenant,
  type WalledServer,
  walledServer,
} from "./throwaway-tenant.ts";
import { ensureWalls } from "./walls.ts";

const SHARED = { shared: true, forced: false };
let walled: WalledServer;
beforeAll(async () => {
  walled = await walledServer({ shared: false, forced: false });
});
afterAll(() => walled.remove());

async function bare(tenant: ThrowawayTenant): Promise<readonly string[]> {
  const { rows } = await walled.root.query<{ relname: string }>(
    `select relname from pg_class c where relnamespace = '${tenant.name}'::regnamespace and (
       relkind in ('r', 'p') and not (relrowsecurity and exists (
         select from pg_policy where polrelid = c.oid and polname like 'aerodb_tenant%'))
       or relkind = 'v' and not coalesce(reloptions && '{security_invoker=true}', false))
     order by 1`,
  );
  return rows.map(({ relname }) => relname);
}

/** As an instance is that an agent made which knew of no walls. */
async function tearDown(): Promise<void> {
  await walled.root.query(
    "drop schema aerodb cascade; drop owned by aerodb_pool; drop role aerodb_pool",
  );
}

test("in an instance of one tenant nothing is switched on", async () => {
  const tenant = await walled.newTenant();
  const client = await tenant.connect();
  await client.query(
    `create table t (i int); create policy own on t using (true);
     create function f() returns int language sql security definer as 'select 1';
     grant select on t to public; create view v as select * from t`,
  );
  expect(await bare(tenant)).toEqual(["t", "v"]);
  await client.query("select * from pg_locks");
  await client.end();
});

test("an instance from before there were walls gets them, and its tables their policies", async () => {
  const tenant = await walled.newTenant();
  const client = await tenant.connect();
  await client.query(
    `create table held (i int); create view v as select * from held; create table p (i int)
       partition by list (i); create table p1 partition of p for values in (1);
     do $$ begin for i in 1 .. 150 loop
       execute format('create table t%s (i int)', i);
     end loop; end $$`,
  );
  await tearDown();
  await client.query("begin; lock table held in share mode");
  // The one that is held, and with it those of its batch.
  expect(await ensureWalls(walled.root, SHARED)).toBeGreaterThan(0);
  expect(await bare(tenant)).toContain("held");
  await client.query("commit");
  expect(await ensureWalls(walled.root, SHARED)).toBe(0);
  expect(await bare(tenant)).toEqual([]);
  expect(await outcomeOf(client, "grant select on held to public")).toMatch(/^42501/);

  const [listed] = (await listTenants(walled.root)).filter((it) => it.tenantId === tenant.tenantId);
  expect(listed && isAsDesired(listed, tenant.desired)).toBe(false);
  await client.end();
});

test("what no trigger was told of is found the next time", async () => {
  await ensureWalls(walled.root, SHARED);
  const tenant = await walled.newTenant();
  const client = await tenant.connect();
  await client.query("explain analyze create table unseen as select 1 as i");
  expect(await bare(tenant)).toEqual(["unseen"]);
  expect(await outcomeOf(client, "grant select on unseen to public")).toMatch(/^42501/);
  expect(await ensureWalls(walled.root, SHARED)).toBe(0);
  expect(await bare(tenant)).toEqual([]);
  await client.end();
});

test("forcing binds owners, who can then neither copy in nor dump, until it ends", async () => {
  await ensureWalls(walled.root, SHARED);
  const tenant = await walled.newTenant();
  const client = await tenant.connect();
  await client.query("create table before (i int)");
  await ensureWalls(walled.root, { shared: true, forced: true });
  await client.query("create table after (i int); insert into after values (1)");
  for (const table of ["before", "after"]) {
    expect(await outcomeOf(client, `copy ${table} from stdin`)).toMatch(
      /^0A000 COPY FROM not supported with row-level security/,
    );
    expect(await outcomeOf(client, `alter table ${table} no force row level security`)).toMatch(
      /^42501 the platform keeps row level security forced/,
    );
  }
  expect((await client.query("select * from after")).rows).toEqual([{ i: 1 }]);
  expect(await outcomeOf(client, "set row_security = off; copy after to stdout")).toMatch(
    /^42501 query would be affected by row-level security policy/,
  );
  await ensureWalls(walled.root, SHARED);
  await client.query("reset row_security; alter table after no force row level security");
  await client.end();
});

test("walls that stand are left alone, and two agents that raise them do not fail", async () => {
  await tearDown();
  const second = await connectPlatform({ ...walled.server.settings, password: ROOT_PASSWORD });
  await Promise.all([walled.root, second].map((client) => ensureWalls(client, SHARED)));
  await second.end();
  const versions = "select xmin::text from pg_event_trigger order by oid";
  const before = await walled.root.query(versions);
  await ensureWalls(walled.root, SHARED);
  expect((await walled.root.query(versions)).rows).toEqual(before.rows);
});

test("the login of pooled requests comes in where it was not, and is made right", async () => {
  await tearDown();
  const walls = { ...SHARED, pool: await poolLogin(ROOT_PASSWORD) };
  await ensureWalls(walled.root, walls);
  const tenant = await walled.newTenant();
  await ensureTenant(walled.root, { ...tenant.desired, dedicated: false });
  const [listed] = (await listTenants(walled.root)).filter((it) => it.tenantId === tenant.tenantId);
  expect(listed && isAsDesired(listed, tenant.desired)).toBe(true);

  await walled.root.query("alter role aerodb_pool password 'other'");
  await ensureWalls(walled.root, walls);
  const password = poolPassword(ROOT_PASSWORD);
  const pool = await connectPool({ ...walled.server.settings, password });
  const statement = { text: "select aerodb.current_tenant() as who", values: [] };
  expect(await pooledRequest(pool, tenant.tenantId, statement)).toEqual([{ who: tenant.tenantId }]);
  await pool.end();
});

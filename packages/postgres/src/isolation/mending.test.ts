/** What drifted of a tenant's walls, by the hand of a superuser, and is put back. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { driftOf } from "../tenant-drift.ts";
import { ensureTenant, listTenants } from "../tenant-role.ts";
import { type ThrowawayTenant, type WalledServer, walledServer } from "../throwaway-tenant.ts";
import { ensureWalls } from "../walls.ts";
import { proveIsolation } from "./isolation-proof.ts";
import { mendPlatform } from "./mend-platform.ts";
import { mendTenant } from "./mend-tenant.ts";
import { holds } from "./rule.ts";
import { takeBack } from "./taking-back.ts";

const scope = { shared: true, forced: false };
let walled: WalledServer;
let tenant: ThrowawayTenant;
let neighbour: ThrowawayTenant;

beforeAll(async () => {
  walled = await walledServer(scope);
  tenant = await walled.newTenant();
  neighbour = await walled.newTenant();
  for (const each of [tenant, neighbour]) {
    const client = await each.connect();
    await client.query(
      `create table t (i serial primary key, x text); create view v as select * from t;
       create sequence s; create type y as (i int);
       create function f() returns int language sql as 'select 1';
       insert into t (x) values ('kept')`,
    );
    await client.end();
  }
});
afterAll(() => walled.remove());

async function broken(of: ThrowawayTenant): Promise<readonly string[]> {
  const asked = [{ tenantId: of.tenantId, connectionLimit: 10 }];
  const [proof] = await proveIsolation(walled.root, scope, asked);
  return (proof?.rules ?? []).filter((rule) => !holds(rule)).map(({ id }) => id);
}

async function mend(of: ThrowawayTenant): Promise<void> {
  await mendTenant(walled.root, of.tenantId);
  await ensureTenant(walled.root, of.desired);
  await takeBack(walled.root, of.tenantId);
}

test.each([
  ["ownership.inside", "alter table SELF.t owner to OTHER"],
  ["ownership.inside", "alter view SELF.v owner to OTHER"],
  ["ownership.inside", "alter sequence SELF.s owner to OTHER"],
  ["ownership.inside", "alter function SELF.f() owner to OTHER"],
  ["ownership.inside", "alter table SELF.t owner to aerodb_tenants"],
  ["ownership.inside", "alter function SELF.f() owner to aerodb_tenants"],
  ["privilege.schema", "grant usage on schema SELF to OTHER"],
  ["privilege.schema", "grant usage on schema SELF to public"],
  ["privilege.schema", "grant create on schema SELF to SELF with grant option"],
  ["privilege.relations", "grant select, delete on SELF.t to public"],
  ["privilege.relations", "grant all on SELF.v to OTHER with grant option"],
  ["privilege.columns", "grant select (x) on SELF.t to OTHER"],
  ["privilege.sequences", "grant usage on sequence SELF.s to OTHER"],
  ["privilege.routines", "grant execute on function SELF.f() to OTHER"],
  ["privilege.types", "grant usage on type SELF.y to OTHER"],
  ["privilege.types", "grant usage on type SELF.t to OTHER"],
  ["role.door", "grant execute on function aerodb.SELF(text, text, text[]) to public"],
  ["role.door", "grant execute on function aerodb.SELF(text, text, text[]) to OTHER"],
  ["role.door", "drop function aerodb.SELF(text, text, text[])"],
])("%s is put back: %s", async (rule, statement) => {
  const { root } = walled;
  const done = statement.replaceAll("SELF", tenant.name).replaceAll("OTHER", neighbour.name);
  await root.query(done);
  expect(await broken(tenant)).toContain(rule);
  await mend(tenant);
  expect([await broken(tenant), await broken(neighbour)]).toEqual([[], []]);
  const client = await tenant.connect();
  expect((await client.query("select x from t")).rows).toEqual([{ x: "kept" }]);
  await client.end();
});

test("what one was given of another goes when either is mended", async () => {
  await walled.root.query(`grant select on ${tenant.name}.t to ${neighbour.name}`);
  expect(await broken(neighbour)).toEqual(["privilege.elsewhere"]);
  await mend(neighbour);
  expect([await broken(tenant), await broken(neighbour)]).toEqual([[], []]);
});

test("what somebody holds locked is left, and everything else is put back", async () => {
  const { root } = walled;
  await root.query(`alter table ${tenant.name}.t owner to ${neighbour.name}`);
  await root.query(`grant usage on sequence ${tenant.name}.s to public`);
  const other = await neighbour.connect();
  await root.query(`grant usage on schema ${tenant.name} to ${neighbour.name}`);
  await other.query(`begin; lock table ${tenant.name}.t in access exclusive mode`);
  await mend(tenant);
  const left = await broken(tenant);
  // Whoever owns a table has rights on it, and must have them when it is given back.
  const ofOwner = ["privilege.relations", "privilege.types"];
  expect(left.filter((id) => !ofOwner.includes(id))).toEqual(["ownership.inside"]);
  await other.query("rollback");
  await mend(tenant);
  expect([await broken(tenant), await broken(neighbour)]).toEqual([[], []]);
  await other.end();
  const client = await tenant.connect();
  expect((await client.query("select x from t")).rows).toEqual([{ x: "kept" }]);
  await client.end();
});

test.each([
  "alter event trigger aerodb_grants disable",
  "alter event trigger aerodb_extensions disable",
  "drop event trigger aerodb_relations",
  `create or replace function aerodb.refuse(sentence text, advice text) returns void
     language plpgsql set search_path = pg_catalog, pg_temp as 'begin end'`,
])("a wall of the instance stands again: %s", async (statement) => {
  const { root } = walled;
  await root.query(statement);
  const rules = await broken(tenant);
  expect(rules).toHaveLength(1);
  await mendPlatform(root, rules);
  await ensureWalls(root, scope);
  expect(await broken(tenant)).toEqual([]);
});

test.each([
  ["role.settings", "alter role SELF reset app.tenant_id"],
  ["role.settings", "alter role SELF reset temp_file_limit"],
  ["role.connections", "alter role SELF connection limit 99"],
  ["role.attributes", "alter role SELF createdb"],
  ["role.password", "alter role SELF password 'another one'"],
  ["role.login", "alter role SELF nologin"],
  ["role.door", "drop function aerodb.SELF(text, text, text[])"],
  ["role.memberships", "revoke aerodb_tenants from SELF"],
])("%s is what the list of tenants says of: %s", async (rule, statement) => {
  const drift = async () => {
    const listed = await listTenants(walled.root);
    const found = listed.find(({ tenantId }) => tenantId === tenant.tenantId);
    return found && driftOf(found, tenant.desired);
  };
  expect(await drift()).toEqual([]);
  await walled.root.query(statement.replaceAll("SELF", tenant.name));
  expect(await drift()).toEqual([rule]);
  await ensureTenant(walled.root, tenant.desired);
  expect(await drift()).toEqual([]);
});

test("in a server of its own a tenant cannot decide for the group of all for long", async () => {
  const own = await walledServer({ shared: false, forced: false });
  try {
    const owner = await own.newTenant();
    const client = await owner.connect();
    await client.query(
      "alter default privileges for role aerodb_tenants grant select on tables to public",
    );
    await client.end();
    const prove = async () => {
      const [proof] = await proveIsolation(own.root, { ...scope, shared: false }, [owner]);
      return (proof?.rules ?? []).filter((rule) => !holds(rule)).map(({ id }) => id);
    };
    const rules = await prove();
    expect(rules).toEqual(["instance.grants"]);
    await mendPlatform(own.root, rules);
    expect(await prove()).toEqual([]);
  } finally {
    await own.remove();
  }
});

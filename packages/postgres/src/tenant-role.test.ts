import { readFile } from "node:fs/promises";
import type { TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectPlatform, connectTenant } from "./connection.ts";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { generatePassword, scramVerifier } from "./scram.ts";
import { dropTenant } from "./tenant-drop.ts";
import { ensureTenant, isAsDesired, listTenants } from "./tenant-role.ts";
import { ROOT_PASSWORD, type ThrowawayServer, throwawayServer } from "./throwaway-instance.ts";

let server: ThrowawayServer;
let platform: Client;
let lastTenant = 0;

beforeAll(async () => {
  // As few locks as an instance can have, so that a tenant soon has more tables than fit.
  server = await throwawayServer({ kind: "dedicated", maxConnections: 10 });
  platform = await connectPlatform({ ...server.settings, password: ROOT_PASSWORD });
});
afterAll(async () => {
  await platform.end();
  await server.remove();
});

async function newTenant(dedicated = false) {
  lastTenant += 1;
  const tenantId = `ten_${lastTenant.toString().padStart(26, "0")}` as TenantId;
  const password = generatePassword();
  const verifier = await scramVerifier(password);
  const desired = { tenantId, verifier, connectionLimit: 2, dedicated };
  await ensureTenant(platform, desired);
  const connect = () => connectTenant({ ...server.settings, password, tenantId });
  return { tenantId, password, desired, connect, name: quoteIdentifier(tenantId) };
}

async function listed(tenantId: TenantId) {
  return (await listTenants(platform)).find((tenant) => tenant.tenantId === tenantId);
}

test("a tenant has its role and schema, and works in them by its default search path", async () => {
  const { connect, desired, name, tenantId } = await newTenant();
  const found = await listed(tenantId);
  expect(found && isAsDesired(found, desired)).toBe(true);
  const client = await connect();
  await client.query("reset search_path; set search_path = default");
  await client.query(`set search_path = "$user", public`);
  await client.query("create table t (i int); insert into t values (1)");
  expect((await client.query(`select i from ${name}.t`)).rows).toEqual([{ i: 1 }]);
  await client.end();
});

test("a tenant can do none of what is the platform's", async () => {
  const other = await newTenant();
  const { connect, name } = await newTenant();
  const client = await connect();
  for (const statement of [
    "create schema mine",
    "create table public.t (i int)",
    `create table ${other.name}.t (i int)`,
    "create role r",
    "create database d",
    "create extension plpgsql",
    `drop schema ${name}`,
    `alter schema ${name} owner to current_user`,
    "alter database aerodb set search_path = evil",
    `alter role ${name} superuser`,
    `alter role ${name} connection limit 100`,
    `alter role ${name} set log_min_messages = debug5`,
    "alter system set work_mem = '1GB'",
    "set role aerodb_root",
    `set role ${other.name}`,
    "select rolpassword from pg_catalog.pg_authid",
    "copy (select 1) to program 'id'",
    "select pg_catalog.pg_read_file('postgresql.conf')",
    "checkpoint",
  ]) {
    await expect(client.query(statement), statement).rejects.toThrow(
      /permission denied|must be (owner|superuser)|already exists|is not allowed/,
    );
  }
  await client.end();
});

test("the tenant of a dedicated instance may use public and make schemas", async () => {
  const { connect, tenantId } = await newTenant(true);
  const client = await connect();
  await client.query("create table public.t (i int); create schema mine; create extension pg_trgm");
  await client.end();
  await dropTenant(platform, tenantId);
  expect(await listed(tenantId)).toBeUndefined();
  const { rows } = await platform.query(
    "select nspname from pg_namespace where nspname = 'mine' union all " +
      "select extname from pg_extension where extname = 'pg_trgm' union all " +
      "select relname from pg_class where relname = 't' and relnamespace = 'public'::regnamespace",
  );
  expect(rows).toEqual([]);
});

test("what was changed or half made is seen, and made right, with the tenant's data kept", async () => {
  const { connect, desired, name, tenantId } = await newTenant();
  const client = await connect();
  await client.query(`create table ${name}.t (i int)`);
  await client.query(`alter role ${name} password ${quoteLiteral(generatePassword())}`);
  await client.query(`alter role ${name} set local_preload_libraries = 'nothing'`);
  await client.query(`alter role ${name} set role = 'aerodb_tenants'`);
  await client.end();
  await platform.query(`alter role ${name} connection limit -1`);
  await platform.query(`revoke aerodb_tenants from ${name}`);
  const drifted = await listed(tenantId);
  expect(drifted && isAsDesired(drifted, desired)).toBe(false);
  expect(drifted?.settings).toContain("local_preload_libraries=nothing");

  await ensureTenant(platform, desired);
  const found = await listed(tenantId);
  expect(found && isAsDesired(found, desired)).toBe(true);
  const again = await connect();
  await again.query(`select from ${name}.t`);
  await again.end();

  await platform.query(`alter role ${name} nologin`);
  expect(await listed(tenantId)).toMatchObject({ role: true, canLogin: false });
});

test.each([
  "alter role NAME set app.tenant_id = 'ten_other'",
  "alter role NAME in database aerodb set app.tenant_id = 'ten_other'",
  "alter role NAME reset app.tenant_id",
])("the tag is the platform's: %s is refused, or else seen and put back", async (statement) => {
  const { connect, desired, name, tenantId } = await newTenant();
  const client = await connect();
  const change = statement.replace("NAME", name);
  await expect(client.query(change)).rejects.toMatchObject({ code: "42501" });
  await client.query(`alter role ${name} reset all`);
  await client.end();
  const kept = await listed(tenantId);
  expect(kept && isAsDesired(kept, desired)).toBe(true);

  await platform.query(change);
  const drifted = await listed(tenantId);
  expect(drifted && isAsDesired(drifted, desired)).toBe(false);
  await ensureTenant(platform, desired);
  const again = await connect();
  const { rows } = await again.query("select current_setting('app.tenant_id') as tag");
  expect(rows).toEqual([{ tag: tenantId }]);
  await again.end();
});

test.each(["create role NAME", "create schema NAME"])(
  "%s alone is completed",
  async (statement) => {
    const { desired, name, tenantId } = await newTenant();
    await dropTenant(platform, tenantId);
    await platform.query(statement.replace("NAME", name));
    const half = await listed(tenantId);
    expect(half && isAsDesired(half, desired)).toBe(false);
    await ensureTenant(platform, desired);
    const found = await listed(tenantId);
    expect(found && isAsDesired(found, desired)).toBe(true);
  },
);

test("a drop ends the tenant's sessions and leaves nothing, and can be repeated", async () => {
  const friend = await newTenant();
  const { connect, name, tenantId } = await newTenant();
  const [client, theirs] = [await connect(), await friend.connect()];
  await client.query("begin");
  await client.query(
    `create table ${name}.t (id serial primary key, x text);
     create view ${name}.v as select * from ${name}.t;
     create type ${name}.e as enum ('a');
     create function ${name}.f() returns int language sql as 'select 1';
     grant usage on schema ${name} to ${friend.name};
     select pg_catalog.lo_create(0)`,
  );
  await client.query("commit");
  await theirs.query(
    `create table ${friend.name}.t (i int); grant select on ${friend.name}.t to ${name}`,
  );
  await theirs.query(`alter default privileges grant select on tables to ${name}`);

  await dropTenant(platform, tenantId);
  await dropTenant(platform, tenantId);
  await expect(client.query("select 1")).rejects.toThrow();
  expect(await listed(tenantId)).toBeUndefined();
  expect((await platform.query("select from pg_largeobject_metadata")).rowCount).toBe(0);
  expect((await theirs.query(`select from ${friend.name}.t`)).rowCount).toBe(0);
  await theirs.end();
});

test.each([
  ["nothing but a barred role", (name: string) => `alter role ${name} nologin`],
  ["a role without its schema", (name: string) => `drop schema ${name}`],
  ["a schema without its role", (name: string) => `drop owned by ${name}; drop role ${name}`],
])("a drop goes on from %s", async (_, damage) => {
  const { name, tenantId } = await newTenant();
  await platform.query(damage(name));
  await dropTenant(platform, tenantId);
  expect(await listed(tenantId)).toBeUndefined();
});

test("a tenant with more objects than there are locks is dropped", async () => {
  const { connect, name, tenantId } = await newTenant();
  const client = await connect();
  await client.query(`create table ${name}.parts (i int primary key) partition by list (i)`);
  for (let batch = 0; batch < 8; batch += 1) {
    await client.query(`do $$ begin for i in ${batch * 50} + 1 .. ${batch * 50} + 50 loop
      execute format('create table ${name}.%I (i int primary key, t text)', 'T ' || i);
      execute format('create function ${name}.f%s(${name}.%I) returns int
        language sql as $f$select 1$f$', i, 'T ' || i);
      execute format('create domain ${name}.d%s as int', i);
      perform pg_catalog.lo_create(0);
    end loop; end $$`);
    await client.query(`do $$ begin for i in ${batch * 50} + 1 .. ${batch * 50} + 50 loop
      execute format('create table ${name}.part%s partition of ${name}.parts
        for values in (%s)', i, i);
    end loop; end $$`);
  }
  await client.end();
  await expect(platform.query(`drop owned by ${name}`)).rejects.toThrow("out of shared memory");
  await dropTenant(platform, tenantId);
  expect(await listed(tenantId)).toBeUndefined();
});

test.each([
  ["a grant to it left open", "begin; grant select on TABLE to ROLE"],
  ["a lock on what was granted to it", "grant select on TABLE to ROLE; begin; lock table TABLE"],
])("no neighbour keeps a tenant alive by %s", async (_how, statements) => {
  const victim = await newTenant();
  const neighbour = await newTenant();
  const client = await neighbour.connect();
  const table = `${neighbour.name}.bait`;
  await client.query(`create table ${table} (i int)`);
  const ended = new Promise<void>((resolve) => client.once("end", () => resolve()));
  await client.query(statements.replaceAll("TABLE", table).replaceAll("ROLE", victim.name));
  await dropTenant(platform, victim.tenantId);
  await ended;
  expect(await listed(victim.tenantId)).toBeUndefined();
  expect(await listed(neighbour.tenantId)).toBeDefined();
});

test("two sessions that make and drop one tenant at once fail for a while at worst", async () => {
  const { desired, tenantId } = await newTenant();
  const second = await connectPlatform({ ...server.settings, password: ROOT_PASSWORD });
  const ends = await Promise.allSettled(
    [platform, second].map((client) => ensureTenant(client, desired)),
  );
  for (const end of ends) {
    if (end.status === "rejected") expect(end.reason).toMatchObject({ code: "UNAVAILABLE" });
  }
  const found = await listed(tenantId);
  expect(found && isAsDesired(found, desired)).toBe(true);
  await second.end();
  await expect(ensureTenant(second, desired)).rejects.toThrow();
  await dropTenant(platform, tenantId);
});

test("the platform's session ignores what a tenant sets for everybody it can", async () => {
  const { connect, name, tenantId } = await newTenant(true);
  const client = await connect();
  await client.query(
    `create function ${name}.now() returns timestamptz language sql as 'select null'`,
  );
  await client.query(`alter role ${name} set search_path = ${name}, pg_catalog`);
  await client.query(`alter role ${name} set statement_timeout = '1ms'`);
  await client.end();
  const { rows } = await (await connect()).query(
    "select now() is not null as own, current_setting('statement_timeout') as timeout",
  );
  expect(rows).toEqual([{ own: true, timeout: "30s" }]);
  await dropTenant(platform, tenantId);
});

test("no password, verifier, statement or row reaches the server's log", async () => {
  const { connect, desired, name, password, tenantId } = await newTenant();
  const client = await connect();
  await client.query(`create table ${name}.t (email text primary key)`);
  await client.query(`insert into ${name}.t values ('someone@example.com')`);
  const twice = client.query(`insert into ${name}.t values ('someone@example.com')`);
  await expect(twice).rejects.toThrow("duplicate key");
  await expect(
    platform.query(`create role ${name} password '${desired.verifier}'`),
  ).rejects.toThrow();
  await expect(connectTenant({ ...server.settings, password: "wrong", tenantId })).rejects.toThrow(
    "password authentication failed",
  );
  await client.end();
  const log = await readFile(server.settings.logFile, "utf8");
  for (const secret of [
    password,
    "SCRAM-SHA-256",
    "example.com",
    "create role",
    "insert",
    "wrong",
  ]) {
    expect(log).not.toContain(secret);
  }
});

test("a verifier is the only password, and a limit is a number", async () => {
  const { desired } = await newTenant();
  await expect(ensureTenant(platform, { ...desired, verifier: "plain" })).rejects.toThrow(
    "verifier",
  );
  const limit = ensureTenant(platform, { ...desired, connectionLimit: Number.NaN });
  await expect(limit).rejects.toThrow("limit");
});

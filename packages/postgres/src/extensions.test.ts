import type { TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ALLOWED_EXTENSIONS, withRequired } from "./allowed-extensions.ts";
import { connectPlatform, connectTenant } from "./connection.ts";
import { EXTENSIONS_SCHEMA } from "./extension-wall.ts";
import { ensureExtensions } from "./extensions.ts";
import { quoteIdentifier } from "./identifier.ts";
import { generatePassword, scramVerifier } from "./scram.ts";
import { ensureTenant, isAsDesired, listTenants } from "./tenant-role.ts";
import { ROOT_PASSWORD, type ThrowawayServer, throwawayServer } from "./throwaway-instance.ts";

let server: ThrowawayServer;
let platform: Client;
let last = 0;
beforeAll(async () => {
  server = await throwawayServer({ kind: "dedicated", maxConnections: 40 });
  platform = await connectPlatform({ ...server.settings, password: ROOT_PASSWORD });
});
afterAll(async () => {
  await platform.end();
  await server.remove();
});

async function newTenant(dedicated: boolean, extensions: readonly string[] = []) {
  last += 1;
  const tenantId = `ten_${last.toString().padStart(26, "0")}` as TenantId;
  const password = generatePassword();
  const verifier = await scramVerifier(password);
  const desired = { tenantId, verifier, connectionLimit: 3, dedicated, extensions };
  await ensureTenant(platform, desired);
  const client = await connectTenant({ ...server.settings, password, tenantId });
  // As a tenant's own session begins, which pins nothing.
  await client.query("reset search_path; set search_path = default");
  const { rows } = await platform.query<{ setconfig: string[] }>(
    "select setconfig from pg_catalog.pg_db_role_setting where setrole = 0",
  );
  const path = rows[0]?.setconfig.find((each) => each.startsWith("search_path="))?.slice(12) ?? "";
  await client.query(`set search_path = ${path}`);
  return { tenantId, client, desired };
}

test("what is required comes first, and nothing twice", () => {
  expect(withRequired(["earthdistance", "cube", "citext"])).toEqual([
    "cube",
    "earthdistance",
    "citext",
  ]);
});

test("a tenant of a shared instance uses what was installed for it, by its plain name", async () => {
  const { client, desired, tenantId } = await newTenant(false, ["citext", "pgcrypto"]);
  const { rows } = await client.query(
    `select 'A'::citext = 'a' as same, encode(digest('x', 'md5'), 'hex') as sum`,
  );
  expect(rows).toEqual([{ same: true, sum: "9dd4e461268c8034f5c8564e155c67a6" }]);
  const listed = (await listTenants(platform)).find((each) => each.tenantId === tenantId);
  expect(listed && isAsDesired(listed, desired)).toBe(true);
  expect(listed && isAsDesired(listed, { ...desired, extensions: ["hstore"] })).toBe(false);
  await client.end();
});

test("nobody but the platform makes anything where extensions are, or changes what is there", async () => {
  for (const dedicated of [false, true]) {
    const { client } = await newTenant(dedicated, ["citext"]);
    for (const statement of [
      `create function ${EXTENSIONS_SCHEMA}.f() returns int language sql as 'select 1'`,
      `create table ${EXTENSIONS_SCHEMA}.t (i int)`,
      `create type ${EXTENSIONS_SCHEMA}.citext2 as (i int)`,
      `drop schema ${EXTENSIONS_SCHEMA} cascade`,
      `alter schema ${EXTENSIONS_SCHEMA} rename to mine`,
      "drop extension citext",
      "alter extension citext update",
      "drop event trigger aerodb_extensions",
      "alter event trigger aerodb_extensions disable",
      `create or replace function ${EXTENSIONS_SCHEMA}.refuse_unlisted() returns event_trigger ` +
        "language plpgsql as 'begin end'",
    ]) {
      const outcome = await codeOf(client, statement);
      expect(outcome, statement).toBe("42501");
    }
    await client.end();
  }
});

/** What a statement is refused with; undefined when it is not. */
function codeOf(client: Client, statement: string): Promise<unknown> {
  return client.query(statement).then(
    () => undefined,
    (error: { readonly code: string }) => error.code,
  );
}

test("a tenant with a database of its own installs what is on the list, and nothing else", async () => {
  const { client, tenantId } = await newTenant(true);
  const schema = quoteIdentifier(tenantId);
  await client.query(`create extension "uuid-ossp" with schema ${schema}`);
  for (const name of ["plperl", "pltcl", "dblink", "postgres_fdw", "file_fdw", "pageinspect"]) {
    const code = await codeOf(client, `create extension ${name} cascade`);
    expect(["42501", "0A000", "58P01"], name).toContain(code);
  }
  const trusted = client.query("create extension plperl");
  await expect(trusted).rejects.toThrow(/not on the list of the platform|not available|could not/);
  const { rows } = await platform.query("select 1 from pg_extension where extname like 'pl%l'");
  expect(rows.length).toBe(1); // plpgsql
  await client.end();
});

test("every extension of the list installs into the platform's schema, and again does nothing", async () => {
  const names = ALLOWED_EXTENSIONS.map(({ name }) => name);
  await ensureExtensions(platform, names);
  await ensureExtensions(platform, names);
  const { rows } = await platform.query<{ extname: string; nspname: string }>(
    `select e.extname, n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace
      where e.extname = any ($1)`,
    [names],
  );
  expect(rows.map(({ extname }) => extname).toSorted()).toEqual(names.toSorted());
  // The tenant's own stays where it put it.
  const elsewhere = rows.filter(({ nspname }) => nspname !== EXTENSIONS_SCHEMA);
  expect(elsewhere.map(({ extname }) => extname)).toEqual(["uuid-ossp"]);
});

test("one that is not on the list is refused before the server is asked", async () => {
  await expect(ensureExtensions(platform, ["dblink"])).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
  });
});

test("an instance from before there was a wall gets it with its first extension", async () => {
  await platform.query("drop event trigger aerodb_extensions");
  await platform.query(`drop schema ${EXTENSIONS_SCHEMA} cascade`);
  const { client } = await newTenant(true, ["seg"]);
  expect((await client.query(`select '1 .. 2'::seg::text as seg`)).rows).toEqual([
    { seg: "1 .. 2" },
  ]);
  await client.end();
});

test("a schema of that name that a tenant made is never installed into", async () => {
  const { client, desired } = await newTenant(true);
  await platform.query("drop event trigger aerodb_extensions");
  await platform.query(`drop schema ${EXTENSIONS_SCHEMA} cascade`);
  await client.query(`create schema ${EXTENSIONS_SCHEMA}`);
  await expect(ensureTenant(platform, { ...desired, extensions: ["isn"] })).rejects.toThrow(
    "let it rename that schema",
  );
  await client.end();
});

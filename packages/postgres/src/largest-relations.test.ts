/** What of a tenant takes most room, whatever the tenant does. */
import type { TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectMeter, connectPlatform, connectTenant } from "./connection.ts";
import { askLargestRelations } from "./largest-relations.ts";
import { meterPassword } from "./meter-login.ts";
import type { Postmaster } from "./postmaster.ts";
import { startPostmaster } from "./postmaster-start.ts";
import { generatePassword, scramVerifier } from "./scram.ts";
import { ensureTenant } from "./tenant-role.ts";
import {
  ROOT_PASSWORD,
  type ThrowawayHome,
  throwawayHome,
  throwawayInstance,
} from "./throwaway-instance.ts";

const [OWN, OTHER] = [1, 2].map((at) => `ten_${at.toString().padStart(26, "0")}` as TenantId);

let home: ThrowawayHome;
let postmaster: Postmaster;
let meter: Client;
let own: Client;
let other: Client;

beforeAll(async () => {
  home = await throwawayHome();
  const settings = await throwawayInstance(home, "i", { kind: "shared" });
  postmaster = await startPostmaster(settings);
  const { socketDirectory } = settings;
  const platform = await connectPlatform({ socketDirectory, password: ROOT_PASSWORD });
  const connect = async (tenantId: TenantId): Promise<Client> => {
    const password = generatePassword();
    const verifier = await scramVerifier(password);
    const role = { tenantId, verifier, connectionLimit: 5, dedicated: false };
    await ensureTenant(platform, role);
    const client = await connectTenant({ socketDirectory, password, tenantId });
    await client.query(`set search_path = ${tenantId}`);
    return client;
  };
  own = await connect(OWN as TenantId);
  other = await connect(OTHER as TenantId);
  await platform.end();
  meter = await connectMeter({ socketDirectory, password: meterPassword(ROOT_PASSWORD) });
});

afterAll(async () => {
  await Promise.all([own.end(), other.end(), meter.end()]);
  await postmaster.stop("immediate");
  await home.remove();
});

function largest(limit = 10) {
  return askLargestRelations(meter, OWN as TenantId, limit);
}

test("tables, with what is stored outside of rows, and indexes are told by size", async () => {
  await own.query(`create table "Big Ones" (id int primary key, body text)`);
  // What does not compress is stored outside.
  await own.query(`alter table "Big Ones" alter body set storage external`);
  await own.query(`insert into "Big Ones" select i, repeat('x', 20000)
    from generate_series(1, 200) i`);
  await own.query("create table small (n int)");
  await own.query("insert into small select generate_series(1, 10000)");
  await other.query("create table huge as select repeat('x', 1000) from generate_series(1, 20000)");
  const total = "select pg_table_size('\"Big Ones\"')::int as bytes";
  const bytes = Number((await own.query(total)).rows[0].bytes);
  const found = await largest();
  const schema = OWN;
  expect(found.map(({ bytes: _, ...each }) => each)).toEqual([
    { schema, name: "Big Ones", kind: "table", table: "" },
    { schema, name: "small", kind: "table", table: "" },
    { schema, name: "Big Ones_pkey", kind: "index", table: "Big Ones" },
  ]);
  expect(Number(found[0]?.bytes) / bytes).toBeCloseTo(1, 2);
  expect(await largest(1)).toEqual([found[0]]);
});

test("a tenant that holds its tables locked keeps nobody from being told", async () => {
  await own.query("begin; lock table small in access exclusive mode");
  expect((await largest()).map(({ name }) => name)).toContain("small");
  await own.query("rollback");
});

test("of a tenant that has nothing, or is not there, nothing is told", async () => {
  const nobody = `ten_${"9".repeat(26)}` as TenantId;
  expect(await askLargestRelations(meter, nobody, 10)).toEqual([]);
});

test("what was written into the catalogue is told in one line, once it is worth one", async () => {
  await other.query("create table noted (i int); comment on table noted is 'short'");
  const told = async () =>
    (await askLargestRelations(meter, OTHER as TenantId, 10)).filter(
      ({ kind }) => kind === "catalogue",
    );
  expect(await told()).toEqual([]);
  const long = Array.from({ length: 800 }, () => generatePassword()).join("");
  await other.query(`comment on table noted is '${long}'`);
  expect(await told()).toMatchObject([
    { schema: "", name: "functions, views, comments and settings", table: "" },
  ]);
  await other.query("drop table noted");
  expect(await told()).toEqual([]);
});

/** Large objects of tenants that share an instance: whose they are, and how much each takes. */
import type { TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectMeter, connectPlatform, connectTenant } from "./connection.ts";
import { askLargeObjects } from "./large-object-sizes.ts";
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

const [LARGE, MANY] = ["1".repeat(26), "2".repeat(26)].map((rest) => `ten_${rest}` as TenantId);
/** Bytes that do not compress, and one of them in an object of its own. */
const PAGES = `select lo_from_bytea(0, string_agg(sha512(convert_to(i || ':' || j, 'utf8')), ''))
  from generate_series(1, 10) i, generate_series(1, 6000) j group by i`;
const TINY = `select lo_from_bytea(0, '\\x00') from generate_series(1, 20000) i`;

let home: ThrowawayHome;
let postmaster: Postmaster;
let platform: Client;
let meter: Client;
let large: Client;
let many: Client;

beforeAll(async () => {
  home = await throwawayHome();
  const settings = await throwawayInstance(home, "i", { kind: "shared" });
  postmaster = await startPostmaster(settings);
  const { socketDirectory } = settings;
  platform = await connectPlatform({ socketDirectory, password: ROOT_PASSWORD });
  const connect = async (tenantId: TenantId): Promise<Client> => {
    const password = generatePassword();
    const verifier = await scramVerifier(password);
    const role = { tenantId, verifier, connectionLimit: 5, dedicated: false };
    await ensureTenant(platform, role);
    return connectTenant({ socketDirectory, password, tenantId });
  };
  large = await connect(LARGE as TenantId);
  many = await connect(MANY as TenantId);
  meter = await connectMeter({ socketDirectory, password: meterPassword(ROOT_PASSWORD) });
});

afterAll(async () => {
  await Promise.all([platform.end(), meter.end(), large.end(), many.end()]);
  await postmaster.stop("immediate");
  await home.remove();
});

async function kept(): Promise<number> {
  const { rows } = await platform.query<{ bytes: number }>(`
    select (pg_total_relation_size('pg_largeobject')
            + pg_total_relation_size('pg_largeobject_metadata'))::float8 as bytes`);
  return rows[0]?.bytes ?? 0;
}

async function takes(tenantId: TenantId | undefined, mostBlocks?: number): Promise<number> {
  return (await askLargeObjects(meter, mostBlocks)).get(tenantId as TenantId) ?? 0;
}

test("each tenant's take what they add to the files, be they few or many", async () => {
  expect(await askLargeObjects(meter)).toEqual(new Map());
  const nothing = await kept();
  await large.query(PAGES);
  const one = (await kept()) - nothing;
  expect(one).toBeGreaterThan(3_800_000);
  expect((await takes(LARGE)) / (nothing + one)).toBeCloseTo(1, 2);
  await many.query(TINY);
  const both = (await kept()) - nothing;
  const sizes = [await takes(LARGE), await takes(MANY)];
  expect((sizes[0] ?? 0) + (sizes[1] ?? 0)).toBeCloseTo(nothing + both, -4);
  // Small ones lie in the room that large ones left: that is now nobody's.
  expect((sizes[0] ?? 0) / one).toBeGreaterThan(0.75);
  expect((sizes[0] ?? 0) / one).toBeLessThan(1);
});

test("where there are many blocks some are looked at, and tell nearly the same", async () => {
  const all = await takes(LARGE);
  const some = await takes(LARGE, 400);
  expect(some / all).toBeGreaterThan(0.8);
  expect(some / all).toBeLessThan(1.25);
});

test("what the meter may see is whose they are, and nothing of what they say", async () => {
  for (const statement of [
    "select data from pg_catalog.pg_largeobject",
    "select * from pg_catalog.pg_largeobject",
    "select lo_get(loid) from pg_catalog.pg_largeobject",
    "update pg_catalog.pg_largeobject set loid = 1",
  ]) {
    await expect(meter.query(statement), statement).rejects.toThrow(/permission denied/);
  }
  await expect(large.query("select loid from pg_catalog.pg_largeobject")).rejects.toThrow(/denied/);
});

test("nobody can keep them from being counted, and what is removed counts no more", async () => {
  const lock = "begin; lock table pg_catalog.pg_largeobject in access exclusive mode";
  await expect(many.query(lock)).rejects.toThrow(/denied/);
  await many.query("rollback");
  // Each takes a lock to the end of its transaction.
  const some = `select lo_unlink(oid) from (
    select oid from pg_catalog.pg_largeobject_metadata m
    where m.lomowner = (select oid from pg_catalog.pg_roles where rolname = session_user)
    limit 2000) s`;
  await many.query(`begin; ${some}`);
  expect(await takes(MANY)).toBeGreaterThan(500_000);
  await many.query("commit");
  for (;;) if ((await many.query(some)).rowCount === 0) break;
  expect(await takes(MANY)).toBe(0);
});

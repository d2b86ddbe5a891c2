/** A tenant with many large objects: what it costs others, and how it goes. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { proveIsolation } from "./isolation/isolation-proof.ts";
import { holds } from "./isolation/rule.ts";
import { dropTenant } from "./tenant-drop.ts";
import { type WalledServer, walledServer } from "./throwaway-tenant.ts";

const scope = { shared: true, forced: false };
/** More than are looked at, and far more than the table of locks has room for. */
const MANY = 60_000;
const AT_ONCE = 1_000;
let walled: WalledServer;

beforeAll(async () => {
  walled = await walledServer(scope);
});
afterAll(() => walled.remove());

async function countOf(tenantId: string): Promise<number> {
  const { rows } = await walled.root.query<{ readonly there: number }>(
    `select count(*)::int4 as there from pg_catalog.pg_largeobject_metadata l
      join pg_catalog.pg_roles r on r.oid = l.lomowner where r.rolname = $1`,
    [tenantId],
  );
  return rows[0]?.there ?? 0;
}

test("of many the first are looked at, all else is found, and all are dropped", async () => {
  const { root } = walled;
  const tenant = await walled.newTenant();
  const neighbour = await walled.newTenant();
  const client = await tenant.connect();
  for (let made = 0; made < MANY; made += AT_ONCE) {
    await client.query(`select count(lo_create(0)) from generate_series(1, ${AT_ONCE})`);
  }
  await client.end();
  const theirs = await neighbour.connect();
  await theirs.query("select lo_from_bytea(0, 'kept')");
  await theirs.end();
  // After all of them in the list of what depends on the role.
  await root.query(`grant execute on function pg_catalog.pg_ls_waldir() to ${tenant.name}`);
  await root.query(
    `create sequence aerodb.strayed; alter sequence aerodb.strayed owner to ${tenant.name}`,
  );
  const proofs = await proveIsolation(root, scope, [tenant, neighbour]);
  const [proof] = proofs;
  expect(proof?.rules.filter((rule) => !holds(rule)).map(({ id }) => id)).toEqual([
    "ownership.elsewhere",
    "privilege.elsewhere",
  ]);
  const looked = proof?.rules.find(({ id }) => id === "privilege.large_objects");
  expect(looked?.checked).toBeLessThanOrEqual(10_000);
  expect(looked?.checked).toBeGreaterThan(9_000);

  const before = (await statements()) ?? 0;
  await dropTenant(root, tenant.tenantId);
  expect([await countOf(tenant.tenantId), await countOf(neighbour.tenantId)]).toEqual([0, 1]);
  // One pass, in batches: not a transaction for each few of them.
  expect(((await statements()) ?? 0) - before).toBeLessThan(MANY / 100);
});

/** Transactions that the server has ended so far. */
async function statements(): Promise<number | undefined> {
  await walled.root.query("select pg_catalog.pg_stat_force_next_flush()");
  const { rows } = await walled.root.query<{ readonly ended: number }>(
    `select xact_commit::int4 as ended from pg_catalog.pg_stat_database
      where datname = pg_catalog.current_database()`,
  );
  return rows[0]?.ended;
}

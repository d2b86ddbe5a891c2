/** Proofs while tenants hold locked what is theirs, and what all share. */
import type { Client } from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { applySharedTables } from "../shared-tables.ts";
import { mendSharedTables } from "../shared-tables-keeping.ts";
import { type ThrowawayTenant, type WalledServer, walledServer } from "../throwaway-tenant.ts";
import { proveIsolation } from "./isolation-proof.ts";
import { holds } from "./rule.ts";
import { SHARED_NOTES } from "./sample-shared-breaches.ts";

const scope = { shared: true, forced: false };
let walled: WalledServer;
let holder: ThrowawayTenant;
let neighbour: ThrowawayTenant;
let holding: Client;

beforeAll(async () => {
  walled = await walledServer(scope);
  await applySharedTables(walled.root, [SHARED_NOTES]);
  holder = await walled.newTenant();
  neighbour = await walled.newTenant();
  holding = await holder.connect();
  await holding.query(
    `create table t (i int primary key); create table other (i int);
     create view v as select * from t;
     create policy narrow on t as restrictive using (i > 0);
     create policy asking on t as restrictive using (exists (select from other))`,
  );
  await walled.root.query("set lock_timeout = '500ms'");
});
afterEach(() => holding.query("rollback"));
afterAll(async () => {
  await holding.end();
  await walled.remove();
});

async function hold(...names: readonly string[]): Promise<void> {
  const locks = names.map((name) => `lock table ${name} in access exclusive mode`);
  await holding.query(["begin", ...locks].join("; "));
}

/** Rules that do not hold, by tenant; or why it was not proven. */
async function prove(): Promise<readonly unknown[]> {
  const asked = [holder, neighbour].map(({ tenantId }) => ({ tenantId }));
  const proofs = await proveIsolation(walled.root, scope, asked);
  return proofs.map(({ rules, unproven }) => {
    return unproven ?? rules.filter((rule) => !holds(rule)).map(({ id }) => id);
  });
}

test("who holds its tables locked is proven, and so are its neighbours", async () => {
  await hold("t", "other", "v");
  expect(await prove()).toEqual([[], []]);
});

test("who holds a shared table locked keeps nobody from being proven", async () => {
  await hold("shared.notes");
  expect(await prove()).toEqual([[], []]);
  // What is right is not touched.
  await mendSharedTables(walled.root);
});

test.each([
  ["using (true)", "with check (tenant_id = (select aerodb.current_tenant()))"],
  ["using (tenant_id is not null)", ""],
  ["using (title = (select aerodb.current_tenant()))", ""],
  ["using (tenant_id = (select aerodb.current_tenant()) or true)", ""],
  ["using (tenant_id = (select aerodb.current_tenant() from aerodb.canary))", ""],
])("a policy %s %s of a shared table is no right one", async (using, check) => {
  const { root } = walled;
  await root.query(`drop policy aerodb_tenant on shared.notes`);
  await root.query(`create policy aerodb_tenant on shared.notes ${using} ${check}`);
  await hold("shared.notes");
  expect(await prove()).toEqual([["shared_tables.policy"], ["shared_tables.policy"]]);
  await holding.query("rollback");
  await mendSharedTables(root);
  expect(await prove()).toEqual([[], []]);
});

test("one of which the questions take too long keeps no other from being proven", async () => {
  const asked = [holder, neighbour].map(({ tenantId }) => ({ tenantId }));
  // What is tried as a tenant is cut off for one of them.
  const { root } = walled;
  const query = root.query.bind(root) as (text: string) => Promise<unknown>;
  const slow = (text: string): Promise<unknown> => {
    if (!text.includes(`session authorization ${holder.name}`)) return query(text);
    return query(text.replace("set local row_security = on", "select pg_sleep(6)"));
  };
  root.query = slow as typeof root.query;
  const proofs = await proveIsolation(root, scope, asked);
  root.query = query as typeof root.query;
  expect(proofs.map(({ unproven }) => unproven)).toEqual([
    expect.stringContaining("statement timeout"),
    undefined,
  ]);
});

import type { TenantId } from "@aerodb/model";
import { newId } from "@aerodb/runtime";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { quoteIdentifier } from "../identifier.ts";
import { applySharedTables } from "../shared-tables.ts";
import { dropTenant } from "../tenant-drop.ts";
import { ensureTenant } from "../tenant-role.ts";
import { type ThrowawayTenant, type WalledServer, walledServer } from "../throwaway-tenant.ts";
import type { KnownBefore } from "./catalogue-proof.ts";
import { proveIsolation, ruleNamed, rulesOfInstance, type TenantProof } from "./isolation-proof.ts";
import { RUNTIME_RULES } from "./probes.ts";
import { appliesTo, holds } from "./rule.ts";
import { rulesFor } from "./rules.ts";
import type { Breach } from "./sample-breach.ts";
import { BREACHES } from "./sample-breaches.ts";
import { SHARED_NOTES } from "./sample-shared-breaches.ts";
import { TENANT_BREACHES } from "./sample-tenant-breaches.ts";

/** What a tenant may hold of each kind, made with its own rights. */
const HOLDINGS = `
  create table t (i serial primary key, x text);
  insert into t (x) values ('a');
  create table whole (i int, x text) partition by list (i);
  create table part partition of whole default;
  create view v as select * from t;
  create materialized view kept as select * from t;
  create sequence s;
  create function f() returns int language sql as 'select 1';
  create procedure p() language sql as 'select 1';
  create type y as (i int);
  create domain d as int check (value > 0);
  create type e as enum ('a');
  create type r as range (subtype = int4);
  create operator === (leftarg = int, rightarg = int, function = int4eq);
  create statistics both_columns on i, x from t;
  create temporary table passing (i int);
  select pg_catalog.lo_from_bytea(0, 'a')`;

async function hold(tenant: ThrowawayTenant): Promise<void> {
  const client = await tenant.connect();
  await client.query(HOLDINGS);
  await client.end();
}

function broken(proof: TenantProof | undefined): readonly string[] {
  return (proof?.rules ?? []).filter((rule) => !holds(rule)).map(({ id }) => id);
}

function isUsable(name: string): boolean {
  const bytes = Buffer.byteLength(name);
  return bytes > 0 && bytes <= 63 && name.isWellFormed() && !name.includes("\0");
}

describe.each([
  { shared: true, forced: false },
  { shared: false, forced: false },
])("in an instance that is shared: $shared", (scope) => {
  let walled: WalledServer;
  let neighbour: ThrowawayTenant | undefined;

  beforeAll(async () => {
    walled = await walledServer(scope);
    if (scope.shared) {
      await applySharedTables(walled.root, [SHARED_NOTES]);
      neighbour = await walled.newTenant();
      await hold(neighbour);
    }
  });
  afterAll(() => walled.remove());

  function prove({ tenantId }: ThrowawayTenant, known?: KnownBefore) {
    const asked = [{ tenantId, connectionLimit: 10 }];
    return proveIsolation(walled.root, scope, asked, known);
  }

  test("tenants with something of every kind are proven, and it is counted", async () => {
    const tenant = await walled.newTenant();
    await hold(tenant);
    if (!scope.shared) {
      const client = await tenant.connect();
      // What the platform calls its own elsewhere.
      await client.query("create schema shared");
      await client.end();
    }
    const [proof] = await prove(tenant);
    expect(broken(proof)).toEqual([]);
    const counts = Object.fromEntries(
      proof?.rules.map(({ id, checked, held }) => [id, [checked, held]]) ?? [],
    );
    expect(counts).toMatchObject({ "role.present": [1, 1], "ownership.inside": [21, 21] });
    if (scope.shared) {
      expect(counts).toMatchObject({ "table.policy": [3, 3], "view.invoker": [1, 1] });
      expect(counts["runtime.rows"]?.[0]).toBeGreaterThan(10);
    }
    await dropTenant(walled.root, tenant.tenantId);
  });

  test("a tenant whose writes are refused is proven like any other", async () => {
    const tenant = await walled.newTenant();
    await hold(tenant);
    await ensureTenant(walled.root, { ...tenant.desired, writesRefused: true });
    const [proof] = await prove(tenant);
    expect(proof?.rules.filter((rule) => !holds(rule))).toEqual([]);
    await dropTenant(walled.root, tenant.tenantId);
  });

  test.each(BREACHES.filter((breach) => appliesTo(breach, scope.shared)))(
    "$rule notices what breaks it",
    async (breach: Breach) => {
      const tenant = await walled.newTenant();
      await hold(tenant);
      const target = { self: tenant.name, neighbour: neighbour?.name ?? tenant.name };
      try {
        await walled.root.query(breach.done(target));
        const [proof] = await prove(tenant);
        expect(broken(proof).toSorted()).toEqual([breach.rule, ...(breach.also ?? [])].toSorted());
        expect(proof?.rules.find(({ id }) => id === breach.rule)?.violations).not.toEqual([]);
        expect(broken((await prove(tenant, { fresh: true }))[0])).toEqual(broken(proof));
      } finally {
        if (breach.undone) await walled.root.query(breach.undone(target));
        await dropTenant(walled.root, tenant.tenantId);
      }
      if (neighbour !== undefined) expect(broken((await prove(neighbour))[0])).toEqual([]);
    },
  );

  test("of several breaches at once each is noticed, whatever else is broken", async () => {
    const breaches = TENANT_BREACHES.filter((breach) => {
      return appliesTo(breach, scope.shared) && breach.rule !== "role.present";
    });
    await fc.assert(
      fc.asyncProperty(fc.subarray(breaches, { minLength: 2, maxLength: 6 }), async (several) => {
        const tenant = await walled.newTenant();
        await hold(tenant);
        const target = { self: tenant.name, neighbour: neighbour?.name ?? tenant.name };
        try {
          for (const { done } of several) await walled.root.query(done(target));
          const [proof] = await prove(tenant);
          const expected = several.flatMap(({ rule, also = [] }) => [rule, ...also]);
          expect(new Set(broken(proof))).toEqual(new Set(expected));
        } finally {
          for (const { undone } of several) if (undone) await walled.root.query(undone(target));
          await dropTenant(walled.root, tenant.tenantId);
        }
      }),
      { numRuns: 6 },
    );
  });

  test("who was only just made is asked less, until it holds something", async () => {
    const tenant = await walled.newTenant();
    const [first] = await prove(tenant, { fresh: true });
    expect(broken(first)).toEqual([]);
    expect(first?.rules.map(({ id }) => id)).toEqual(
      (await prove(tenant))[0]?.rules.map(({ id }) => id),
    );
    await hold(tenant);
    const instance = rulesOfInstance(first?.rules ?? []);
    expect(await prove(tenant, { fresh: true, instance })).toEqual(await prove(tenant));
    await dropTenant(walled.root, tenant.tenantId);
  });

  test.runIf(scope.shared)(
    "many are proven in parts, each as by itself, whatever the pace",
    async () => {
      const tenants = [await walled.newTenant(), await walled.newTenant()];
      const strangers = Array.from({ length: 260 }, () => newId("ten"));
      const [first, last] = tenants.map(({ tenantId }) => tenantId) as [TenantId, TenantId];
      const asked = [first, ...strangers, last].map((tenantId) => ({ tenantId }));
      const gentle = await proveIsolation(walled.root, scope, asked, { gently: true });
      expect(gentle).toEqual(await proveIsolation(walled.root, scope, asked));
      expect(gentle.map(({ tenantId }) => tenantId)).toEqual(asked.map(({ tenantId }) => tenantId));
      expect(gentle.map((proof) => broken(proof).includes("role.present"))).toEqual(
        asked.map(({ tenantId }) => ![first, last].includes(tenantId)),
      );
      for (const at of [0, -1]) {
        const [alone] = await proveIsolation(walled.root, scope, asked.slice(at).slice(0, 1));
        expect(gentle.at(at)).toEqual(alone);
      }
      for (const tenantId of [first, last]) await dropTenant(walled.root, tenantId);
    },
  );

  test.runIf(scope.shared)(
    "what one does in the schema of others is no breach of theirs",
    async () => {
      const [tenant, other] = [await walled.newTenant(), await walled.newTenant()];
      const intruder = await other.connect();
      await intruder.query(
        `explain analyze create materialized view pins as
         select 'shared'::regnamespace as one, '${tenant.tenantId}'::regnamespace as other`,
      );
      await intruder.end();
      for (const place of [tenant.name, "shared"]) {
        await walled.root.query(
          `alter default privileges for role ${other.name} in schema ${place}
           grant select on tables to ${other.name}`,
        );
      }
      expect(broken((await prove(tenant))[0])).toEqual([]);
      expect(broken((await prove(other))[0])).toEqual(["privilege.defaults"]);
      await dropTenant(walled.root, tenant.tenantId);
      await dropTenant(walled.root, other.tenantId);
    },
  );

  test("tables of any name are counted and named", async () => {
    const tenant = await walled.newTenant();
    const client = await tenant.connect();
    const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 15, unit: "grapheme" }), {
      minLength: 5,
      maxLength: 5,
    });
    const usable = fc.sample(names, 4).flat().filter(isUsable);
    const made = new Set(usable);
    for (const name of made) await client.query(`create table ${quoteIdentifier(name)} (i int)`);
    await client.end();
    const [proof] = await prove(tenant);
    expect(broken(proof)).toEqual([]);
    const inside = proof?.rules.find(({ id }) => id === "ownership.inside");
    expect(inside?.checked).toBe(made.size);
    await dropTenant(walled.root, tenant.tenantId);
  });

  test("every rule has something that breaks it, and a sentence", () => {
    const rules = [...rulesFor(scope), ...(scope.shared ? RUNTIME_RULES : [])];
    for (const { id } of rules) {
      const breach = BREACHES.find((each) => each.rule === id && appliesTo(each, scope.shared));
      expect([id, breach?.rule, ruleNamed(id)?.sentence.endsWith(".")]).toEqual([id, id, true]);
    }
  });
});

/** Properties of a real instance: of quoting, of its configuration, of the graph of its roles. */
import {
  acceptSettings,
  dropTenant,
  ensureTenant,
  mendTenant,
  proveIsolation,
  quoteIdentifier,
  quoteLiteral,
  scramVerifier,
  suspendTenant,
  TENANT_SETTINGS,
  writeConfiguration,
} from "@aerodb/postgres";
import fc from "fast-check";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isProven } from "../../packages/postgres/src/isolation/isolation-proof.ts";
import { type WalledServer, walledServer } from "../../packages/postgres/src/throwaway-tenant.ts";

let walled: WalledServer;
let root: pg.Client;
beforeAll(async () => {
  walled = await walledServer({ shared: true, forced: false });
  ({ root } = walled);
});
afterAll(() => walled.remove());

const hostile = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc
    .array(
      fc.constantFrom("'", '"', "\\", "$$", "$wall$", "--", "/*", ";", "%I", "%", "\n", "E'", "U&"),
    )
    .map((pieces) => pieces.join("")),
);
const text = hostile.filter((value) => value.isWellFormed() && !value.includes("\0"));
const name = text.filter((value) => value !== "" && Buffer.byteLength(value) <= 63);

test("a value in SQL is that value to the server, however it reads strings", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(text, { minLength: 1 }), fc.boolean(), async (values, standard) => {
      await root.query(`set standard_conforming_strings = ${standard ? "on" : "off"}`);
      const list = values.map(quoteLiteral).join(",");
      const { rows } = await root.query(`select array[${list}]::text[] as found`);
      expect(rows).toEqual([{ found: values }]);
    }),
  );
  await root.query("reset standard_conforming_strings");
});

test("a name in DDL is that name, by itself, in a block and in a comment", async () => {
  await fc.assert(
    fc.asyncProperty(name, name, async (table, column) => {
      const made = `pg_temp.${quoteIdentifier(table)}`;
      const ddl = `create table ${made} (${quoteIdentifier(column)} int)`;
      await root.query(`begin; do ${quoteLiteral(`begin ${ddl}; end`)}`);
      try {
        await root.query(`comment on table ${made} is ${quoteLiteral(table)}`);
        const { rows } = await root.query(
          `select c.relname as table, a.attname as column, obj_description(c.oid) as comment
           from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum = 1
           where c.relnamespace = pg_my_temp_schema()`,
        );
        expect(rows).toEqual([{ table, column, comment: table }]);
      } finally {
        await root.query("rollback");
      }
    }),
  );
});

test("whatever a tenant chooses, the server reads from its file what was written", async () => {
  const { dataDirectory, owner, engine } = walled.server.settings;
  const shape = {
    kind: "shared",
    engineMajor: engine.major,
    maxConnections: 40,
    memoryMiB: 256,
  } as const;
  const number = fc.integer({ min: 0, max: 100_000 });
  const value = fc.oneof(
    hostile,
    number.map(String),
    fc
      .tuple(number, fc.constantFrom("kB", "MB", "GB", "ms", "s", "min", "h"))
      .map((it) => it.join("")),
    fc.constantFrom("on", "off", "true", "false", "0", "1.5", "-1"),
  );
  const asked = fc.dictionary(fc.constantFrom(...TENANT_SETTINGS.map((each) => each.name)), value, {
    minKeys: 3,
  });
  await fc.assert(
    fc.asyncProperty(asked, async (settings) => {
      await writeConfiguration(dataDirectory, { ...shape, settings }, owner);
      const { rows } = await root.query<{ name: string; setting: string; error: string | null }>(
        `select f.name, f.setting, case when not s.pending_restart then f.error end as error
         from pg_file_settings f left join pg_settings s using (name)
         where f.sourcefile like '%/postgresql.conf'`,
      );
      expect(rows.filter(({ error }) => error !== null)).toEqual([]);
      const found = new Map(rows.map((row) => [row.name, row.setting]));
      for (const [key, accepted] of Object.entries(acceptSettings(settings, shape).accepted)) {
        expect([key, found.get(key)]).toEqual([key, String(accepted)]);
      }
    }),
    { numRuns: 25 },
  );
});

type Step = "ensure" | "rotate" | "suspend" | "drop" | "mend" | "work";
const STEPS: readonly Step[] = ["ensure", "rotate", "suspend", "drop", "mend", "work"];
type TenantId = Parameters<typeof dropTenant>[1];
const TENANTS = [1, 2, 3].map((number) => `ten_${"r".repeat(25)}${number}` as TenantId);

interface Expected {
  readonly verifier: string;
  readonly suspended: boolean;
}

/** Every role that is not Postgres's own, what it is in, and what was granted to it elsewhere. */
const GRAPH = `
  select r.rolname as role, r.rolcanlogin as login, r.rolpassword as verifier,
    array(select g.rolname
        || case when to_jsonb(m) ->> 'set_option' = 'true' then ' set' else '' end
        || case when m.admin_option then ' admin' else '' end
      from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid
      order by 1) as member_of,
    array(select pg_describe_object(d.classid, d.objid, d.objsubid) from pg_shdepend d
      where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and d.deptype = 'a'
      order by 1) as granted,
    array(select b.rolname::text from pg_roles b where b.rolname like 'ten\\_%' and b.oid <> r.oid
      and pg_has_role(r.oid, b.oid, 'member') and not r.rolsuper) as becomes
  from pg_authid r where r.rolname like 'ten\\_r%' order by 1`;

async function take(
  step: Step,
  tenantId: TenantId,
  expected: Map<string, Expected>,
): Promise<void> {
  const known = expected.get(tenantId);
  const desired = (verifier: string) => ({
    ...{ tenantId, verifier, connectionLimit: 5, dedicated: false },
  });
  const verifier = known?.verifier ?? (await scramVerifier(`password-of-${tenantId}`));
  switch (step) {
    case "ensure":
      await ensureTenant(root, desired(verifier));
      expected.set(tenantId, { verifier, suspended: false });
      return;
    case "rotate": {
      const next = await scramVerifier(`password-${crypto.randomUUID()}`);
      await ensureTenant(root, desired(next));
      expected.set(tenantId, { verifier: next, suspended: false });
      return;
    }
    case "suspend":
      await suspendTenant(root, desired(verifier));
      expected.set(tenantId, { verifier, suspended: true });
      return;
    case "drop":
      await dropTenant(root, tenantId);
      expected.delete(tenantId);
      return;
    case "mend":
      await mendTenant(root, tenantId);
      return;
    case "work":
      if (known === undefined) return;
      await root.query(
        `begin; set local session authorization ${tenantId};
         create table if not exists ${tenantId}.t (i serial);
         grant all on ${tenantId}.t to ${tenantId};
         commit`,
      );
      return;
  }
}

test("however tenants come, change, pause and go, none has anything to do with another", async () => {
  const steps = fc.array(fc.tuple(fc.constantFrom(...STEPS), fc.constantFrom(...TENANTS)), {
    minLength: 4,
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      const expected = new Map<string, Expected>();
      try {
        for (const [step, tenantId] of sequence) await take(step, tenantId, expected);
        const { rows } = await root.query(GRAPH);
        const graph = [...expected].toSorted().map(([role, { verifier, suspended }]) => ({
          ...{ role, verifier, login: !suspended },
          member_of: ["aerodb_tenants", "aerodb_writers"],
          ...{ granted: [`schema ${role}`], becomes: [] },
        }));
        expect(rows).toEqual(graph);
        const asked = TENANTS.filter((it) => expected.has(it)).map((tenantId) => ({ tenantId }));
        const proofs = await proveIsolation(root, { shared: true, forced: false }, asked);
        expect(proofs.every(isProven)).toBe(true);
      } finally {
        for (const tenantId of TENANTS) await dropTenant(root, tenantId);
      }
    }),
    { numRuns: 12 },
  );
});

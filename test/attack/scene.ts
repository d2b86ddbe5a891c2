/** Sets the scene for attacks on one instance: two tenants that hold something of each kind. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { applySharedTables } from "@aerodb/postgres";
import { ensureCanary } from "../../packages/postgres/src/isolation/canary.ts";
import { SHARED_NOTES } from "../../packages/postgres/src/isolation/sample-shared-breaches.ts";
import {
  type ThrowawayTenant,
  walledServer,
} from "../../packages/postgres/src/throwaway-tenant.ts";
import { REPOSITORY } from "../program.ts";
import type { AttackCase, Model, Scene } from "./attack-case.ts";

/** What the newest engine is, and the older majors that npm has for this machine. */
export const NEWEST = 18;
export const MAJORS: readonly number[] = [15, 16, 17, NEWEST].filter(
  (major) => major === NEWEST || existsSync(join(REPOSITORY, `node_modules/pg${major}`)),
);

const SECRET = "the-victims-secret";

/** What a tenant holds, made with its own rights. */
const HOLDINGS = `
  create table t (i serial primary key, x text unique);
  insert into t (x) values ('${SECRET}');
  create index expressed on t (lower(x)) where x <> '${SECRET}';
  create table whole (i int, x text) partition by list (i);
  create table part partition of whole default;
  create view v as select * from t;
  create materialized view kept as select * from t;
  create sequence s;
  create function f() returns int language sql as 'select count(*)::int from TENANT.t';
  create procedure p() language sql as 'select 1';
  create type y as (i int);
  create domain d as int check (value > 0);
  create type e as enum ('${SECRET}');
  create operator === (leftarg = int, rightarg = int, function = int4eq);
  create statistics both_columns on i, x from t;
  comment on table t is 'a comment on ${SECRET}';
  create temporary table passing as select '${SECRET}'::text as x;
  analyze t;
  select pg_catalog.lo_from_bytea(0, '${SECRET}') as id, pg_backend_pid() as pid`;

const SHARED_TABLES = [
  SHARED_NOTES,
  {
    number: 2,
    name: "number.sql",
    sql: "alter table notes add column number bigint generated always as identity",
  },
];

export interface OpenScene extends Scene {
  /** Two other tenants in the same instance, in the place of these. */
  recast(): Promise<OpenScene>;
  close(): Promise<void>;
}

export async function openScene(model: Model, major: number): Promise<OpenScene> {
  const walls = { shared: model === "schema", forced: false };
  const walled = await walledServer(walls, major === NEWEST ? undefined : `pg${major}`);
  if (walls.shared) {
    await ensureCanary(walled.root);
    await applySharedTables(walled.root, SHARED_TABLES);
  }
  return await cast();

  async function cast(): Promise<OpenScene> {
    const victim = await walled.newTenant();
    const theirs = await victim.connect();
    const held = await hold(victim, theirs);
    const attacker = walls.shared ? await walled.newTenant() : victim;
    const client = await attacker.connect();
    if (attacker !== victim) {
      await hold(attacker, client);
      const note = "insert into shared.notes (id, title) values ($1, $2)";
      await theirs.query(note, [5, SECRET]);
      await client.query(note, [1, "own"]);
    }
    const names = {
      self: attacker.tenantId,
      neighbour: victim.tenantId,
      ...held,
    };
    const recast = async () => {
      await leave();
      return await cast();
    };
    const close = async () => {
      await leave();
      await walled.remove();
    };
    const leave = async () => {
      await client.end();
      await theirs.end();
    };
    return { model, major, walled, attacker, victim, client, theirs, names, recast, close };
  }
}

async function hold(
  tenant: ThrowawayTenant,
  client: Awaited<ReturnType<ThrowawayTenant["connect"]>>,
) {
  const results: unknown = await client.query(HOLDINGS.replace("TENANT", tenant.name));
  const [row] =
    (results as readonly { readonly rows: readonly { id: number; pid: number }[] }[]).slice(-1)[0]
      ?.rows ?? [];
  return { large_object: String(row?.id), pid: String(row?.pid) };
}

export function appliesTo(each: AttackCase, { model, major }: Pick<Scene, "model" | "major">) {
  return (
    each.models.includes(model) && (each.since ?? 0) <= major && (each.until ?? major) >= major
  );
}

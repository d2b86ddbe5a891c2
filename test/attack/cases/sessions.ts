/**
 * Traps for the sessions of the platform, which are of the superuser, of the meter and of pooled
 * requests: whatever a tenant leaves in their way, no code of it runs there, and all of them work.
 */
import {
  connectMeter,
  connectPlatform,
  dropTenant,
  ensureTenant,
  ensureWalls,
  isAsDesired,
  listTenants,
  mendTenant,
  meterPassword,
  proveIsolation,
  suspendTenant,
} from "@aerodb/postgres";
import { askActivity } from "../../../packages/postgres/src/metering.ts";
import { ROOT_PASSWORD } from "../../../packages/postgres/src/throwaway-instance.ts";
import type { ThrowawayTenant } from "../../../packages/postgres/src/throwaway-tenant.ts";
import { BOTH, family, type Scene } from "../attack-case.ts";
import { outcomeOf } from "../attempt.ts";

/** Whatever runs it is noted down, with the rights that it ran with. */
const SPRING = `
  create table caught (who text);
  create function note() returns boolean language plpgsql as
    $$ begin insert into caught values (session_user || '/' || current_user); return true;
    exception when others then return true; end $$;
  create function spring() returns trigger language plpgsql as
    $$ begin perform note(); return new; end $$;`;

interface Trap {
  readonly laid: string;
  /** How its own role is set up. */
  readonly settings?: readonly string[];
}

/** All that the platform does in an instance, in sessions that it opens after the trap is laid. */
async function work(scene: Scene, tenant: ThrowawayTenant): Promise<void> {
  const { settings, root } = { ...scene.walled, settings: scene.walled.server.settings };
  const scope = { shared: scene.model === "schema", forced: false };
  const session = await connectPlatform({ ...settings, password: ROOT_PASSWORD });
  try {
    await ensureWalls(session, scope);
    await listTenants(session);
    await ensureTenant(session, tenant.desired);
    const all = await listTenants(session);
    const asked = all.map(({ tenantId }) => ({ tenantId }));
    await proveIsolation(session, scope, asked);
    await mendTenant(session, tenant.tenantId);
    await suspendTenant(session, tenant.desired);
    await ensureTenant(session, tenant.desired);
    const password = meterPassword(ROOT_PASSWORD);
    const meter = await connectMeter({ ...settings, password });
    await askActivity(meter, scene.major).finally(() => meter.end());
  } finally {
    await session.end();
  }
  const again = (await listTenants(root)).find(({ tenantId }) => tenantId === tenant.tenantId);
  if (again === undefined || !isAsDesired(again, tenant.desired)) {
    throw new Error(`${tenant.tenantId} is not what it should be.`);
  }
}

/** What was caught when the platform had worked, and the tenant is then dropped. */
function trapped({ laid, settings = [] }: Trap) {
  return async (scene: Scene): Promise<string> => {
    const tenant = await scene.walled.newTenant();
    const client = await tenant.connect();
    const own = `alter role ${tenant.name}`;
    await client.query(`${SPRING} ${laid}`);
    for (const setting of settings) await client.query(`${own} set ${setting}`);
    await client.end();
    await work(scene, tenant);
    const looker = await tenant.connect({
      options: "-c statement_timeout=0 -c default_transaction_read_only=off -c search_path=",
    });
    const outcome = await outcomeOf(looker, `select * from ${tenant.name}.caught`);
    await looker.end();
    await dropTenant(scene.walled.root, tenant.tenantId);
    return outcome;
  };
}

const SHADOWS = `
  create function now() returns timestamptz language sql as
    'select pg_catalog.now() from (select note()) n';
  create function starts_with(text, text) returns boolean language sql as 'select note()';
  create function count(int) returns bigint language sql
    as 'select 1::bigint from (select note()) n';
  create function spied(text, text) returns boolean language sql as 'select note()';
  create operator = (leftarg = text, rightarg = text, function = spied);
  create operator <> (leftarg = text, rightarg = text, function = spied);`;

export const SESSIONS = family(
  "sessions",
  { models: BOTH, safe: ["none"] },
  {
    search_path: {
      attack: trapped({ laid: SHADOWS, settings: ["search_path = '$user', pg_catalog"] }),
    },
    catalogue_views: {
      attack: trapped({
        laid: `create view pg_roles as select 'x'::name as rolname where note();
          create view pg_database as select 1 as oid where note();
          create view pg_stat_activity as select 1 as pid where note();`,
        settings: ["search_path = '$user', pg_catalog"],
      }),
    },
    read_only: {
      attack: trapped({ laid: "", settings: ["default_transaction_read_only = on"] }),
    },
    statement_timeout: { attack: trapped({ laid: "", settings: ["statement_timeout = '1ms'"] }) },
    lock_timeout: { attack: trapped({ laid: "", settings: ["lock_timeout = '1ms'"] }) },
    row_security: { attack: trapped({ laid: "", settings: ["row_security = off"] }) },
    isolation_level: {
      attack: trapped({ laid: "", settings: ["default_transaction_isolation = 'serializable'"] }),
    },
    own_role: { attack: trapped({ laid: "", settings: ["role = 'aerodb_root'"] }) },
    triggers: {
      attack: trapped({
        laid: `create table watched (i int); insert into watched values (1);
          create trigger spring before insert or update or delete or truncate on watched
            execute function spring();`,
      }),
    },
    constraints: {
      attack: trapped({
        laid: `create table watched (i int check (note()), j int default (note()::int),
            k boolean generated always as (i > 0) stored);
          create domain guarded as int check (note());`,
      }),
    },
    views: { attack: trapped({ laid: "create view watched as select note() as noted;" }) },
    rules: {
      attack: trapped({
        laid: `create table watched (i int);
          create rule spring as on insert to watched do also select note();`,
      }),
    },
    index_expressions: {
      attack: trapped({
        laid: `create function immutable_note(int) returns int language plpgsql immutable as
            $$ begin perform note(); return 1; end $$;
          create table watched (i int); create index on watched (immutable_note(i));`,
      }),
    },
    policies: {
      attack: trapped({
        laid: `create table watched (i int); create policy narrow on watched as restrictive
          using (note());`,
      }),
    },
    types: {
      attack: trapped({
        laid: `create type pair as (i int, j int);
          create function paired(pair, pair) returns boolean language sql as 'select note()';
          create operator = (leftarg = pair, rightarg = pair, function = paired);
          create aggregate noted (int) (sfunc = int4pl, stype = int);`,
      }),
    },
    names: {
      attack: trapped({
        laid: `create table "x""; select note(); --" ("%I %s" int, "'; select note(); --" int);
          create view "$wall$" as select 1; create function "%L"() returns int return 1;
          create table "${"n".repeat(63)}" (i int);
          comment on table caught is '''; select note()';`,
      }),
    },
    casts: {
      attack: trapped({
        laid: `create type mood as enum ('a');
          create function moody(mood) returns text language sql as 'select note()::text';
          create cast (mood as text) with function moody(mood) as implicit;`,
      }),
    },
  },
);

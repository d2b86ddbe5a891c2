/** What a pooled request could leave in the session that serves the next tenant. */
import {
  connectPool,
  type PooledRow,
  pooledRequest,
  poolPassword,
  quoteLiteral,
} from "@aerodb/postgres";
import { ROOT_PASSWORD } from "../../../packages/postgres/src/throwaway-instance.ts";
import type { ThrowawayTenant } from "../../../packages/postgres/src/throwaway-tenant.ts";
import { DENIED, family, type Scene } from "../attack-case.ts";
import { codeOf, filled } from "../attempt.ts";

type Ask = (
  tenant: ThrowawayTenant,
  text: string,
  values?: readonly (string | null)[],
) => Promise<readonly PooledRow[]>;

/** A function of the attacker's that does whatever it is told, as its triggers could. */
const OBEYING = `
  create or replace function obey(code text) returns text language plpgsql as
    $$ begin execute code; return 'done'; end $$;
  create or replace function tell(code text) returns text language plpgsql as
    $$ declare found text; begin execute code into found; return found; end $$`;

async function overOneSession(scene: Scene, work: (ask: Ask) => Promise<string>): Promise<string> {
  await scene.client.query(OBEYING);
  const { settings } = scene.walled.server;
  const pool = await connectPool({ ...settings, password: poolPassword(ROOT_PASSWORD) });
  try {
    return await work((tenant, text, values = []) =>
      pooledRequest(pool, tenant.tenantId, { text: filled(text, scene), values }),
    );
  } catch (error) {
    return codeOf(error);
  } finally {
    await pool.end();
    await scene.client.query("drop function obey(text), tell(text)");
  }
}

/** What the neighbour meets after the attacker left something behind. */
function leaves(code: string, found: string) {
  return {
    attack: (scene: Scene) =>
      overOneSession(scene, async (ask) => {
        await ask(scene.attacker, `select obey(${quoteLiteral(filled(code, scene))})`);
        return (await ask(scene.victim, found)).length > 0 ? "some" : "none";
      }),
    safe: ["none"],
  };
}

/** What the attacker's code reaches within a request. */
function reaches(code: string) {
  return (scene: Scene) =>
    overOneSession(scene, async (ask) => {
      const text = `select tell(${quoteLiteral(filled(code, scene))}) as told`;
      const [row] = await ask(scene.attacker, text);
      return row?.["told"] === null ? "none" : "some";
    });
}

/** What is sent as the statement itself. */
function sends(text: string) {
  return (scene: Scene) =>
    overOneSession(scene, async (ask) => {
      const rows = await ask(scene.attacker, text);
      return rows.length > 0 ? "some" : "none";
    });
}

/** What runs when the transaction ends, after the statement. */
function lays(trap: string, request: string) {
  return {
    attack: async (scene: Scene) => {
      const { client } = scene;
      const lost = `begin
          execute 'set role {neighbour}';
          insert into caught select x from {neighbour}.t;
        exception when others then null; end;`;
      await client.query(
        filled(
          `create table caught (what text); create table late (i int);
           create function look() returns text language plpgsql as
             $$ begin ${lost} return ''; end $$; ${trap.replace("LOST", lost)}`,
          scene,
        ),
      );
      await overOneSession(scene, async (ask) => {
        await ask(scene.attacker, request);
        return "done";
      });
      const { rowCount } = await client.query("select * from caught");
      await client.query(
        `drop table caught, late cascade; drop function look();
         drop function if exists spring() cascade`,
      );
      return rowCount === 0 ? "none" : "some";
    },
    safe: ["none"],
  };
}

const REFUSED = { safe: [DENIED] };
const SYNTAX = ["42601"];

export const POOLED = family("pooled", REFUSED, {
  temporary_table: leaves(
    "create temporary table left_behind as select 1",
    "select 1 where to_regclass('pg_temp.left_behind') is not null",
  ),
  temporary_function: leaves(
    "create function pg_temp.left_behind() returns int language sql as 'select 1'",
    "select 1 from pg_proc where proname = 'left_behind'",
  ),
  prepared_statement: leaves(
    "prepare left_behind as select 1",
    "select 1 from pg_prepared_statements where name = 'left_behind'",
  ),
  cursor: leaves(
    "declare left_behind cursor with hold for select 1",
    "select 1 from pg_cursors where name = 'left_behind'",
  ),
  setting: leaves(
    "set app.secret = 'x'",
    "select 1 where nullif(current_setting('app.secret', true), '') is not null",
  ),
  search_path: leaves(
    "set search_path = pg_temp",
    "select 1 where current_setting('search_path') not like '%extensions%'",
  ),
  tag: leaves(
    "set app.tenant_id = '{self}'",
    "select 1 where current_setting('app.tenant_id') = '{self}'",
  ),
  time_limit: leaves(
    "set statement_timeout = 1",
    "select 1 where current_setting('statement_timeout') = '1ms'",
  ),
  row_security: leaves(
    "set row_security = off",
    "select 1 where current_setting('row_security') = 'off'",
  ),
  channel: leaves("listen left_behind", "select 1 from pg_listening_channels()"),
  advisory_lock: leaves(
    "select pg_advisory_lock(4711)",
    `select 1 where not pg_try_advisory_xact_lock(4711)
      or pg_catalog.pg_advisory_unlock(4711)`,
  ),
  last_number: {
    attack: (scene) =>
      overOneSession(scene, async (ask) => {
        await ask(scene.attacker, "select nextval('s')");
        await ask(scene.victim, "select lastval()");
        return "some";
      }),
    safe: ["55000"],
  },
  rows: reaches("select x from {neighbour}.t"),
  write: reaches("insert into {neighbour}.t (x) values ('planted') returning x"),
  role: { attack: reaches("set role {neighbour}"), safe: [DENIED, "42P16"] },
  no_role: { attack: reaches("reset role"), safe: [DENIED, "42P16"] },
  session: { attack: reaches("set session authorization default"), safe: [DENIED, "42P16"] },
  role_by_function: {
    attack: reaches("select set_config('role', '{neighbour}', true)"),
    safe: [DENIED, "42P16"],
  },
  neighbours_door: reaches(
    "select door::text from aerodb.{neighbour}('guess', 'select x from t', '{}') door",
  ),
  forged_tag: {
    attack: reaches(
      `select (select x from aerodb.canary, set_config('app.tenant_id', 'aerodb_canary', true) x
        limit 1)`,
    ),
    safe: ["none"],
  },
  canary: { attack: reaches("select note from aerodb.canary"), safe: ["none"] },
  key: {
    attack: reaches(
      `select query from pg_stat_activity where pid = pg_backend_pid() and query ~ '[\\w-]{43}'`,
    ),
    safe: ["none"],
  },
  two_statements: { attack: sends("select 1; select x from {neighbour}.t"), safe: SYNTAX },
  closed_parenthesis: {
    attack: sends("select 1) select to_jsonb(r) from {neighbour}.t r --"),
    safe: [DENIED, ...SYNTAX],
  },
  comment: { attack: sends("select 1 /*"), safe: SYNTAX },
  commit: { attack: sends("commit"), safe: SYNTAX },
  set: { attack: sends("set role {neighbour}"), safe: SYNTAX },
  many_parameters: {
    attack: (scene) =>
      overOneSession(scene, async (ask) => {
        await ask(scene.attacker, "select 1", Array(33).fill(null)).catch((error: unknown) => {
          const { code } = error as { readonly code?: string };
          if (code !== "INVALID_ARGUMENT") throw error;
        });
        return "none";
      }),
    safe: ["none"],
  },
  deferred_trigger: lays(
    `create function spring() returns trigger language plpgsql as $$ begin LOST return null; end $$;
     create constraint trigger spring after insert on late deferrable initially deferred
       for each row execute function spring();`,
    "insert into late values (1) returning i",
  ),
  held_cursor: lays("", "select obey('declare kept cursor with hold for select look()')"),
  cursor_of_trigger: lays(
    `create function spring() returns trigger language plpgsql as $$ begin
       execute 'declare kept cursor with hold for select look()'; return null; end $$;
     create trigger spring after insert on late for each row execute function spring();`,
    "insert into late values (1) returning i",
  ),
});

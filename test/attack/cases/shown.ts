/**
 * What stock Postgres shows to everybody who may log in to the same server: each of these must
 * succeed, so that what is promised is neither more nor less than what is kept.
 */
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { family, type Scene } from "../attack-case.ts";
import { outcomeOf, undone } from "../attempt.ts";

const NAMES = "Names of other tenants'";
const DEFINITIONS = "Definitions of";
const ACTIVITY = "How many tenants there are";
const ONE_SPACE = "Channels of NOTIFY";
const LOCKS = "Functions of Postgres lock";
const TAKES = "What one does can take from all";
const GOES_ON = "A statement in which Postgres does not look";

/** What the attacker sees differs before and after somebody else did something. */
async function differs(
  { client }: Scene,
  question: string,
  work: () => Promise<unknown>,
): Promise<string> {
  const before = JSON.stringify((await client.query(question)).rows);
  await work();
  // Statistics are told to others within a second.
  for (let looks = 0; looks < 30; looks += 1) {
    if (JSON.stringify((await client.query(question)).rows) !== before) return "some";
    await client.query("select pg_stat_clear_snapshot(), pg_sleep(0.1)");
  }
  return "none";
}

/** The payload of a notification that the neighbour sends. */
async function overhears({ client, theirs }: Scene): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const hear = (message: pg.Notification) => resolve(message.payload ? "some" : "none");
  client.on("notification", hear);
  try {
    await client.query("listen news");
    await theirs.query("notify news, 'the-victims-secret'");
    await client.query("select 1");
    return await promise;
  } finally {
    client.off("notification", hear);
    await client.query("unlisten *");
  }
}

/** A key that the neighbour holds cannot be had. */
async function collides({ client, theirs }: Scene): Promise<string> {
  await theirs.query("select pg_advisory_lock(4711)");
  try {
    return await undone(client, "select where not pg_try_advisory_xact_lock(4711)");
  } finally {
    await theirs.query("select pg_advisory_unlock(4711)");
  }
}

/** A lock on what is the neighbour's, which outlasts the refusal. */
async function locksForeign({ client, walled, names }: Scene): Promise<string> {
  const id = `select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relname = 't' and n.nspname = '${names["neighbour"]}'`;
  await client.query(`begin; do $$ begin perform nextval((${id})::regclass);
    exception when others then null; end $$`);
  try {
    const held = `select from pg_locks l join pg_stat_activity a using (pid)
      where l.relation = (${id}) and a.usename = '${names["self"]}'`;
    return await outcomeOf(walled.root, held);
  } finally {
    await client.query("rollback");
  }
}

/** An open transaction from which on nothing that dies can be removed. */
async function keepsDeadRows({ client, walled, names }: Scene): Promise<string> {
  await client.query("begin isolation level repeatable read; select 1");
  try {
    const keeps = `select from pg_stat_activity
      where usename = '${names["self"]}' and backend_xmin is not null`;
    return await outcomeOf(walled.root, keeps);
  } finally {
    await client.query("rollback");
  }
}

/** An expression of many parts, between which Postgres does not look whether it should end. */
async function goesOn({ attacker, walled }: Scene): Promise<string> {
  const session = await attacker.connect();
  const { rows } = await session.query("select pg_backend_pid() as pid");
  const parts = Array.from({ length: 250 }, () => "md5(s)").join(", ");
  const row = `select ${parts} from (select repeat('x', 5000000) s offset 0) q offset 0`;
  await session.query(`prepare burn as select count(*) from (${row}) z where z is not null`);
  const going = session.query("execute burn").catch(String);
  const ask = `select from pg_stat_activity where pid = ${rows[0].pid} and state = 'active'`;
  while ((await outcomeOf(walled.root, ask)) === "none") await sleep(5);
  // It is planned in milliseconds, and at work for seconds.
  await sleep(600);
  await walled.root.query(`select pg_terminate_backend(${rows[0].pid})`);
  await sleep(200);
  const outcome = await outcomeOf(walled.root, ask);
  await going;
  return outcome;
}

const inside = "relnamespace = (select oid from pg_namespace where nspname = '{neighbour}')";
const tableOf = `(select oid from pg_class where relname = 't' and ${inside})`;

export const SHOWN = family(
  "shown",
  { safe: ["some"], documented: NAMES },
  {
    foreign_locks: { attack: locksForeign, documented: LOCKS },
    dead_rows: { attack: keepsDeadRows, documented: TAKES },
    uninterrupted: { attack: goesOn, documented: GOES_ON },
    roles: "select from pg_roles where rolname = '{neighbour}'",
    schemas: "select from pg_namespace where nspname = '{neighbour}'",
    tables: `select from pg_class where relname = 't' and ${inside}`,
    columns: `select from pg_attribute where attname = 'x' and attrelid = ${tableOf}`,
    functions: `select from pg_proc where proname = 'f' and prosrc like '%count%'
      and proowner = '{neighbour}'::regrole`,
    large_object_ids: `select from pg_largeobject_metadata where lomowner = '{neighbour}'::regrole`,
    settings_of_roles: {
      attack: "select from pg_db_role_setting where setrole = '{neighbour}'::regrole",
      documented: DEFINITIONS,
    },
    view_definitions: {
      attack: "select from pg_views where schemaname = '{neighbour}' and definition like '%x%'",
      documented: DEFINITIONS,
    },
    index_definitions: {
      attack: `select from pg_index where indrelid = ${tableOf}
        and pg_get_indexdef(indexrelid) like '%the-victims-secret%'`,
      documented: DEFINITIONS,
    },
    constraint_definitions: {
      attack: `select from pg_constraint where conname = 'd_check'
        and pg_get_constraintdef(oid) like '%> 0%'`,
      documented: DEFINITIONS,
    },
    default_definitions: {
      attack: `select from pg_attrdef where adrelid = ${tableOf}
        and pg_get_expr(adbin, adrelid) like '%nextval%'`,
      documented: DEFINITIONS,
    },
    enumeration_labels: {
      attack: "select from pg_enum where enumlabel = 'the-victims-secret'",
      documented: DEFINITIONS,
    },
    comments: {
      attack: `select from pg_description where objoid = ${tableOf}
        and description like '%the-victims-secret%'`,
      documented: DEFINITIONS,
    },
    policies: {
      attack: "select from pg_policies where schemaname = '{neighbour}' and qual is not null",
      documented: DEFINITIONS,
    },
    refused_writes: {
      attack: `select from pg_namespace where nspname = '{neighbour}'
        and has_schema_privilege('{neighbour}', oid, 'create')`,
      documented: ACTIVITY,
    },
    number_of_tenants: {
      attack: "select from pg_roles where rolname like 'ten\\_%' having count(*) > 1",
      documented: ACTIVITY,
    },
    table_sizes: {
      attack: `select where pg_total_relation_size(${tableOf}) > 0`,
      documented: ACTIVITY,
    },
    row_estimates: {
      attack: `select from pg_class where relname = 't' and ${inside} and reltuples = 1`,
      documented: ACTIVITY,
    },
    sessions: {
      attack: "select from pg_stat_activity where usename = '{neighbour}'",
      documented: ACTIVITY,
    },
    application_names: {
      attack: async (scene) => {
        await scene.theirs.query("set application_name = 'payroll'");
        const seen = "select from pg_stat_activity where application_name = 'payroll'";
        const outcome = await outcomeOf(scene.client, seen);
        await scene.theirs.query("reset application_name");
        return outcome;
      },
      documented: ACTIVITY,
    },
    writes: {
      attack: (scene) =>
        differs(
          scene,
          `select n_tup_ins from pg_stat_all_tables where schemaname = '${scene.victim.tenantId}'
            and relname = 'part'`,
          () => scene.theirs.query("insert into whole values (1, 'a'); select pg_sleep(1.1)"),
        ),
      documented: ACTIVITY,
    },
    transactions: {
      attack: (scene) =>
        differs(scene, "select pg_snapshot_xmax(pg_current_snapshot())", () =>
          scene.theirs.query("insert into whole values (2, 'b')"),
        ),
      documented: ACTIVITY,
    },
    notifications: { attack: overhears, documented: ONE_SPACE },
    advisory_keys: { attack: collides, documented: ONE_SPACE },
  },
);

/**
 * What stock Postgres shows to everybody who may log in to the same server: each of these must
 * succeed, so that what is promised is neither more nor less than what is kept.
 */
import type pg from "pg";
import { family, type Scene } from "../attack-case.ts";
import { outcomeOf, undone } from "../attempt.ts";

const NAMES = "Names of other tenants'";
const DEFINITIONS = "Definitions of";
const ACTIVITY = "How many tenants there are";
const ONE_SPACE = "Channels of NOTIFY";

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

const inside = "relnamespace = (select oid from pg_namespace where nspname = '{neighbour}')";
const tableOf = `(select oid from pg_class where relname = 't' and ${inside})`;

export const SHOWN = family(
  "shown",
  { safe: ["some"], documented: NAMES },
  {
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

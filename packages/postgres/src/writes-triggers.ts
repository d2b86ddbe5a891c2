/**
 * The event triggers that have every table of a tenant refuse writes where they are refused, and
 * that say in words why nothing can be made then. They stand in every instance.
 */
import { quoteLiteral } from "./identifier.ts";
import { PLATFORM_SCHEMA, TENANTS_ROLE, WRITERS_ROLE } from "./names.ts";
import { platform } from "./wall-functions.ts";
import type { WallTrigger } from "./wall-trigger.ts";
import { GUARD_PREFIX } from "./writes-wall.ts";

const commands = "pg_event_trigger_ddl_commands() d";
const CALLS_OURS = `g.tgfoid = to_regprocedure('${PLATFORM_SCHEMA}.refuse_write()')`;
const ours = (name: string) => `starts_with(${name}::text, ${quoteLiteral(GUARD_PREFIX)})`;
const KEPT = quoteLiteral(
  "It acts only while the storage quota is used up, and costs nothing before: leave it.",
);

/** Tenants have the rights of their owner on what is a group's, and no trigger names them there. */
const GROUPS = [TENANTS_ROLE, WRITERS_ROLE].map(quoteLiteral).join(", ");
const STAYS = "Leave it out: what a tenant makes is its own, and it is nobody else.";

/** What adds to what is stored, or to the catalogue. What frees room is not among it. */
const REFUSED_TAGS: readonly string[] = [
  ...["CREATE TABLE", "CREATE TABLE AS", "SELECT INTO", "CREATE INDEX", "CREATE SCHEMA"],
  ...["CREATE MATERIALIZED VIEW", "REFRESH MATERIALIZED VIEW", "CREATE SEQUENCE", "CREATE VIEW"],
  ...["CREATE FUNCTION", "CREATE PROCEDURE", "CREATE AGGREGATE", "CREATE TYPE", "CREATE DOMAIN"],
  ...["CREATE STATISTICS", "CREATE RULE", "CREATE FOREIGN TABLE", "COMMENT", "SECURITY LABEL"],
  // The owner of a schema could give itself back what was taken from it there.
  ...["GRANT", "ALTER DEFAULT PRIVILEGES"],
];

const STARTED: WallTrigger = {
  name: "writes_started",
  event: "ddl_command_start",
  tags: REFUSED_TAGS,
  everywhere: true,
  declarations: "",
  body: `
    if ${platform}.writes_refused() then perform ${platform}.refuse_full(tg_tag); end if;`,
};

/** Of `VACUUM FULL` and `CLUSTER` Postgres does not speak here. */
const REWRITTEN: WallTrigger = {
  name: "writes_rewritten",
  event: "table_rewrite",
  tags: ["ALTER TABLE", "ALTER TYPE"],
  everywhere: true,
  declarations: "",
  body: `
    if ${platform}.writes_refused() then
      perform ${platform}.refuse_full(concat(tg_tag, ' that rewrites a table'));
    end if;`,
};

/** Of what this transaction wrote, or one that committed after it began. */
const isNew = (row: string) => `age(${row}.xmin) <= age(pg_current_xact_id()::xid)`;

/**
 * What adds nothing yet, and is written into every row by the next `VACUUM FULL` or `CLUSTER`, of
 * which no trigger hears: a default for the rows that are there, and pages that are left emptier.
 * Every one would multiply what is stored. To take the same back is accepted.
 */
const LOOSENED: WallTrigger = {
  name: "writes_loosened",
  event: "ddl_command_end",
  tags: ["ALTER TABLE", "ALTER INDEX", "ALTER MATERIALIZED VIEW"],
  everywhere: true,
  declarations: "",
  body: `
    if ${platform}.writes_refused() and exists (
      with recursive altered (oid) as (
        select d.objid from ${commands} where d.classid = 'pg_class'::regclass
        union select h.inhrelid from pg_inherits h join altered p on h.inhparent = p.oid)
      select from altered join pg_class c using (oid)
      where ${isNew("c")} and (c.relkind = 'i' and c.reloptions is not null
          or array_to_string(c.reloptions, ',') like '%fillfactor%')
        or exists (select from pg_attribute a
          where a.attrelid = c.oid and a.atthasmissing and ${isNew("a")}))
    then
      perform ${platform}.refuse_full(concat(tg_tag, ' by which rows take more room'));
    end if;`,
};

/** What a dump says of the platform's trigger comes on top of the one that the table has. */
const GUARDED: WallTrigger = {
  name: "writes_guarded",
  event: "ddl_command_end",
  tags: [
    ...["CREATE TABLE", "CREATE TABLE AS", "SELECT INTO", "CREATE SCHEMA", "ALTER TABLE"],
    ...["CREATE TRIGGER", "ALTER TRIGGER"],
  ],
  everywhere: true,
  declarations: "it record;",
  body: `
    for it in
      select c.oid, format('%I.%I', n.nspname, c.relname) as name,
        pg_get_userbyid(c.relowner) as owner, ${platform}.right_guards(c.oid) as rights,
        exists (select from pg_trigger g where g.tgrelid = c.oid and ${CALLS_OURS}) as had,
        bool_or(g.oid is not null and (${CALLS_OURS} or ${ours("g.tgname")})) as touched
      from ${commands}
      left join pg_trigger g on d.classid = 'pg_trigger'::regclass and g.oid = d.objid
      join pg_class c on c.oid = coalesce(g.tgrelid, d.objid)
        and d.classid in ('pg_class'::regclass, 'pg_trigger'::regclass)
      join pg_namespace n on n.oid = c.relnamespace
      where not d.in_extension and c.relkind in ('r', 'p') and c.relpersistence <> 't'
        and (starts_with(pg_get_userbyid(c.relowner)::text, 'ten_')
          or pg_get_userbyid(c.relowner) in (${GROUPS}))
      group by c.oid, n.oid
    loop
      if it.owner in (${GROUPS}) then
        perform ${platform}.refuse(
          format('%s cannot belong to %I', it.name, it.owner), ${quoteLiteral(STAYS)});
      end if;
      if it.rights = '{}' and it.had and tg_tag not like 'CREATE %' then
        perform ${platform}.refuse(
          format('the platform keeps the trigger on %s that refuses writes over quota', it.name),
          ${KEPT});
      end if;
      if it.rights = '{}' or it.touched and tg_tag = 'CREATE TRIGGER' then
        perform ${platform}.keep_writes(it.oid);
      end if;
    end loop;`,
};

const DROPPED: WallTrigger = {
  name: "writes_dropped",
  event: "sql_drop",
  tags: ["DROP TRIGGER"],
  everywhere: true,
  declarations: "it record;",
  body: `
    for it in
      select c.oid, format('%I.%I', n.nspname, c.relname) as name
      from pg_event_trigger_dropped_objects() d
      join pg_namespace n on n.nspname = d.address_names[1]
      join pg_class c on c.relnamespace = n.oid and c.relname = d.address_names[2]
      where d.object_type = 'trigger' and ${ours("d.address_names[3]")}
        and c.relkind in ('r', 'p') and c.relpersistence <> 't'
        and (starts_with(pg_get_userbyid(c.relowner)::text, 'ten_')
          or pg_get_userbyid(c.relowner) in (${GROUPS}))
    loop
      if ${platform}.right_guards(it.oid) = '{}' then
        perform ${platform}.refuse(
          format('the platform keeps the trigger on %s that refuses writes over quota', it.name),
          ${KEPT});
      end if;
    end loop;`,
};

export const WRITES_TRIGGERS: readonly WallTrigger[] = [
  STARTED,
  REWRITTEN,
  LOOSENED,
  GUARDED,
  DROPPED,
];

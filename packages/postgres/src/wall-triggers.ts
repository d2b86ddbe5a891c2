/**
 * The event triggers of a shared instance. What a tenant may not take away is put back or refused
 * in the transaction that tried it, with the tenant's own rights. The platform's superuser and the
 * scripts of extensions are exempt.
 */
import { quoteLiteral } from "./identifier.ts";
import { PLATFORM_SCHEMA, POOL_ROLE, SHARED_ROLE, TENANTS_ROLE, WRITERS_ROLE } from "./names.ts";
import { POLICY_PREFIX, platform, platformFunction } from "./wall-functions.ts";
import type { WallTrigger } from "./wall-trigger.ts";
import { WRITES_TRIGGERS } from "./writes-triggers.ts";

const ours = (name: string) => `starts_with(${name}::text, ${quoteLiteral(POLICY_PREFIX)})`;
const commands = "pg_event_trigger_ddl_commands() d";
const DOORS = `${quoteLiteral(PLATFORM_SCHEMA)}::regnamespace`;
const POOL = `${quoteLiteral(POOL_ROLE)}::regrole`;
const GROUPS = [TENANTS_ROLE, WRITERS_ROLE]
  .map((name) => `${quoteLiteral(name)}::regrole`)
  .join(", ");
const LEAVE_DOOR = "Leave it: only pooled requests use it.";
const KEPT = "It binds nobody but strangers to the table, and costs its owner nothing: leave it.";

/** One command may name a table twice: it is judged once, by what it was when the command ended. */
const RELATIONS: WallTrigger = {
  name: "relations",
  event: "ddl_command_end",
  tags: [
    ...["CREATE TABLE", "CREATE TABLE AS", "SELECT INTO", "ALTER TABLE", "CREATE SCHEMA"],
    ...["CREATE VIEW", "ALTER VIEW", "CREATE MATERIALIZED VIEW", "ALTER MATERIALIZED VIEW"],
    ...["CREATE FOREIGN TABLE", "ALTER FOREIGN TABLE", "IMPORT FOREIGN SCHEMA"],
  ],
  declarations: "it record;",
  body: `
    for it in
      select c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, n.oid as place,
        format('%I.%I', n.nspname, c.relname) as name,
        pg_get_userbyid(c.relowner) <> n.nspname as given,
        bool_or(d.command_tag like 'CREATE %' or d.command_tag = 'SELECT INTO') as made
      from ${commands}
      join pg_class c on c.oid = d.objid join pg_namespace n on n.oid = c.relnamespace
      where d.classid = 'pg_class'::regclass and not d.in_extension
        and c.relkind in ('r', 'p', 'v', 'm', 'f') and starts_with(n.nspname::text, 'ten_')
      group by c.oid, n.oid
    loop
      if it.given then
        perform ${platform}.refuse(
          format('%s belongs to the tenant in whose schema it is', it.name),
          'Leave out OWNER TO: in a shared instance nobody gives relations away.');
      end if;
      if it.relkind = 'f' then
        perform ${platform}.refuse(
          format('%s would be a foreign table, which no policy can guard', it.name),
          'Foreign tables need a database of their own: the database model.');
      end if;
      if it.relkind = 'm' and it.made and ${platform}.reads_shared(it.oid) then
        perform ${platform}.refuse(
          format('%s would keep rows of a shared table where no policy guards them', it.name),
          'Make it a view, which shows what the policy of the shared table lets through.');
      end if;
      if it.relkind = 'v' and exists (select from pg_class m
          where m.relkind = 'm' and m.relnamespace = it.place
            and ${platform}.reads_shared(m.oid)) then
        perform ${platform}.refuse(
          format('a materialized view would keep rows of a shared table by way of %s', it.name),
          'Drop the materialized view first, or leave the shared table out.');
      end if;
      if it.relkind not in ('r', 'p') or it.made
        or ${platform}.right_policies(it.oid) = '{}' then
        perform ${platform}.keep_relation(it.oid);
        continue;
      end if;
      if not it.relrowsecurity then
        perform ${platform}.refuse(
          format('the platform keeps row level security enabled on %s', it.name),
          ${quoteLiteral(KEPT)});
      end if;
      if ${platform}.forces_row_security() and not it.relforcerowsecurity then
        perform ${platform}.refuse(
          format('the platform keeps row level security forced on %s', it.name),
          'In this instance policies bind owners too, which keeps out nothing that is theirs.');
      end if;
    end loop;`,
};

/**
 * What a dump says of the platform's policy of a table comes on top of the one that the table
 * already has, and goes again.
 */
const POLICIES: WallTrigger = {
  name: "policies",
  event: "ddl_command_end",
  tags: ["CREATE POLICY", "ALTER POLICY"],
  declarations: "it record;",
  body: `
    for it in
      select p.oid, p.polname, p.polrelid, p.polpermissive, d.command_tag as tag,
        format('%I.%I', n.nspname, c.relname) as name, ${ours("p.polname")} as ours,
        ${platform}.right_policies(c.oid) as rights
      from ${commands} join pg_policy p on p.oid = d.objid
      join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
      where d.classid = 'pg_policy'::regclass and not d.in_extension
        and starts_with(n.nspname::text, 'ten_')
    loop
      if it.tag = 'ALTER POLICY'
        and (it.ours or it.rights = '{}') then
        perform ${platform}.refuse(
          format('the policy of the platform on %s cannot be changed', it.name),
          ${quoteLiteral(KEPT)});
      end if;
      if it.polpermissive and not it.ours then
        perform ${platform}.refuse(
          format('the policy %I would let through what the policy of the platform on %s does not',
            it.polname, it.name),
          'Write CREATE POLICY ... AS RESTRICTIVE: policies of a tenant may only narrow.');
      end if;
      if it.ours and it.rights <> array[it.oid] then
        perform ${platform}.keep_relation(it.polrelid);
        execute format('drop policy %I on %s', it.polname, it.name);
      end if;
    end loop;`,
};

const DROPPED_POLICIES: WallTrigger = {
  name: "dropped_policies",
  event: "sql_drop",
  tags: ["DROP POLICY"],
  declarations: "it record;",
  body: `
    for it in
      select c.oid, format('%I.%I', n.nspname, c.relname) as name
      from pg_event_trigger_dropped_objects() d
      join pg_namespace n on n.nspname = d.address_names[1]
      join pg_class c on c.relnamespace = n.oid and c.relname = d.address_names[2]
      where d.object_type = 'policy' and ${ours("d.address_names[3]")}
        and starts_with(n.nspname::text, 'ten_')
    loop
      if ${platform}.right_policies(it.oid) = '{}' then
        perform ${platform}.refuse(
          format('the policy of the platform on %s cannot be dropped', it.name),
          ${quoteLiteral(KEPT)});
      end if;
    end loop;`,
};

/** Of what a tenant owns, nothing but the door refuses to be given to the group of all tenants. */
const DROPPED_DOORS: WallTrigger = {
  name: "dropped_doors",
  event: "sql_drop",
  tags: ["DROP FUNCTION", "DROP ROUTINE", "DROP OWNED"],
  declarations: "name text;",
  body: `
    select d.object_identity into name from pg_event_trigger_dropped_objects() d
      where d.object_type = 'function' and d.schema_name = ${quoteLiteral(PLATFORM_SCHEMA)} limit 1;
    if name is not null then
      perform ${platform}.refuse(
        format('%s is the platform''s way in', name), ${quoteLiteral(LEAVE_DOOR)});
    end if;`,
};

const ROUTINES: WallTrigger = {
  name: "routines",
  event: "ddl_command_end",
  tags: [
    ...["CREATE FUNCTION", "CREATE PROCEDURE", "CREATE SCHEMA"],
    ...["ALTER FUNCTION", "ALTER PROCEDURE", "ALTER ROUTINE"],
  ],
  declarations: "name text; door boolean;",
  body: `
    select p.oid::regprocedure::text, p.pronamespace = ${DOORS} into name, door
      from ${commands} join pg_proc p on p.oid = d.objid
      where d.classid = 'pg_proc'::regclass and not d.in_extension
        and (p.prosecdef or p.pronamespace = ${DOORS}) limit 1;
    if door then
      perform ${platform}.refuse(
        format('%s is the platform''s way in', name), ${quoteLiteral(LEAVE_DOOR)});
    end if;
    if name is not null then
      perform ${platform}.refuse(
        format('%s would run with the rights of its owner, whoever calls it', name),
        'Leave out SECURITY DEFINER: everything in a schema tenant''s schema has one owner.');
    end if;`,
};

/**
 * A constant such as `'other.t'::regclass`, which needs no right on what it names, would keep its
 * owner from dropping that. What belongs to what was made or changed is looked at with it: rules of
 * views, defaults, constraints. Each is asked for by itself, which an index answers: asked at once,
 * all that there is would be read.
 */
const DEPENDENCIES: WallTrigger = {
  name: "dependencies",
  event: "ddl_command_end",
  tags: [
    ...["CREATE TABLE", "CREATE TABLE AS", "SELECT INTO", "ALTER TABLE", "CREATE SCHEMA"],
    ...["CREATE VIEW", "ALTER VIEW", "CREATE MATERIALIZED VIEW", "CREATE INDEX", "CREATE RULE"],
    ...["CREATE FUNCTION", "CREATE PROCEDURE", "CREATE AGGREGATE", "CREATE POLICY", "ALTER POLICY"],
    ...["CREATE TRIGGER", "CREATE STATISTICS", "CREATE DOMAIN", "ALTER DOMAIN", "CREATE TYPE"],
  ],
  declarations: "name text;",
  body: `
    with recursive parts(classid, objid) as (
      select d.classid, d.objid from ${commands} where not d.in_extension
      union
      select x.classid, x.objid from parts p cross join lateral (
        select x.classid, x.objid from pg_depend x
        where x.refclassid = p.classid and x.refobjid = p.objid and x.deptype in ('a', 'i') offset 0
      ) x
    )
    select i.identity into name
      from parts p cross join lateral (
        select r.refclassid, r.refobjid, r.refobjsubid from pg_depend r
        where r.classid = p.classid and r.objid = p.objid offset 0
      ) r
      cross join lateral pg_identify_object(r.refclassid, r.refobjid, r.refobjsubid) i
      where coalesce(i.schema, i.name) <> current_user and (
          starts_with(coalesce(i.schema, i.name), 'ten_')
          or r.refclassid = 'pg_proc'::regclass
            and starts_with(i.identity, ${quoteLiteral(`${PLATFORM_SCHEMA}.ten_`)}))
      limit 1;
    if name is not null then
      perform ${platform}.refuse(
        format('%s is not the tenant''s to depend on', name),
        'Leave out the constant that names it.');
    end if;`,
};

/**
 * PUBLIC may by default execute functions and use types, which nobody reaches who may not use the
 * schema. What was granted to it is in the objects' own lists only, so those of one owner are
 * looked through.
 */
const GRANTS: WallTrigger = {
  name: "grants",
  event: "ddl_command_end",
  tags: ["GRANT", "ALTER DEFAULT PRIVILEGES", "CREATE SCHEMA"],
  declarations: "giver oid := quote_ident(current_user)::regrole; it record;",
  body: `
    with own as materialized (
      select d.classid, d.objid from pg_shdepend d
      where d.refclassid = 'pg_authid'::regclass and d.refobjid = giver and d.deptype = 'o'
        and d.dbid = (select oid from pg_database where datname = current_database())
    ), lists(what, acl, open, door) as (
      select c.oid::regclass::text, c.relacl, false, false
        from own join pg_class c on c.oid = own.objid
        where own.classid = 'pg_class'::regclass and c.relacl is not null
      union all
      select format('%s.%I', a.attrelid::regclass, a.attname), a.attacl, false, false
        from own join pg_attribute a on a.attrelid = own.objid
        where own.classid = 'pg_class'::regclass and a.attacl is not null
      union all
      select p.oid::regprocedure::text, p.proacl, p.pronamespace <> ${DOORS},
          p.pronamespace = ${DOORS}
        from own join pg_proc p on p.oid = own.objid
        where own.classid = 'pg_proc'::regclass and p.proacl is not null
      union all
      select t.oid::regtype::text, t.typacl, true, false
        from own join pg_type t on t.oid = own.objid
        where own.classid = 'pg_type'::regclass and t.typacl is not null
      union all
      select t.oid::regtype::text, t.typacl, true, false
        from own join pg_type t on t.typrelid = own.objid
        where own.classid = 'pg_class'::regclass and t.typacl is not null
      union all
      select format('large object %s', l.oid), l.lomacl, false, false
        from own join pg_largeobject_metadata l on l.oid = own.objid
        where own.classid = 'pg_largeobject'::regclass and l.lomacl is not null
      union all
      select 'everything made later', f.defaclacl, f.defaclobjtype in ('f', 'T'), false
        from pg_default_acl f where f.defaclrole = giver
    )
    select l.what, case when e.grantee = 0 then 'PUBLIC' else pg_get_userbyid(e.grantee) end as who
      into it
      from lists l, aclexplode(l.acl) e
      where e.grantee <> giver and not (l.open and e.grantee = 0)
        and not (l.door and e.grantee = ${POOL}) limit 1;
    if tg_tag = 'ALTER DEFAULT PRIVILEGES' and exists (
        select from pg_default_acl f where f.defaclrole in (${GROUPS})) then
      perform ${platform}.refuse(
        'what a group of tenants makes is not a tenant''s to decide',
        'Leave out FOR ROLE: what you make later is yours in any case.');
    end if;
    if tg_tag = 'ALTER DEFAULT PRIVILEGES' and exists (
        select from pg_default_acl f join pg_namespace n on n.oid = f.defaclnamespace
        where f.defaclrole = giver and n.nspname <> current_user) then
      perform ${platform}.refuse(
        'a tenant makes nothing in the schema of another',
        'Leave out IN SCHEMA, or name your own.');
    end if;
    if it.what is not null then
      perform ${platform}.refuse(
        format('%s would be granted to %s', it.what, it.who),
        'In a shared instance a schema is its tenant''s alone: leave out the grant, or revoke
          what was granted before.');
    end if;`,
};

const TRIGGERS = [
  ...[RELATIONS, POLICIES, DROPPED_POLICIES, DROPPED_DOORS, ROUTINES, DEPENDENCIES, GRANTS],
  ...WRITES_TRIGGERS,
];
const nameOf = ({ name }: WallTrigger) => `aerodb_${name}`;
/** One that is switched on exactly where the walls stand. */
export const WALL_TRIGGER = nameOf(RELATIONS);

/**
 * Whoever acts, not whoever logged in: what an autovacuum worker runs of a tenant's, as the tenant,
 * is in a session of the superuser. Changes of shared tables are judged by rules of their own.
 */
const IS_EXEMPT = `(select rolsuper or rolname = ${quoteLiteral(SHARED_ROLE)}
    from pg_roles where rolname = current_user)`;

/** Makes all anew, switched off. */
export const WALL_TRIGGERS: readonly string[] = TRIGGERS.flatMap((trigger) => {
  const { name, event, tags, declarations, body } = trigger;
  const exempt = `if ${IS_EXEMPT} then return; end if;`;
  const code = `declare ${declarations} begin ${exempt} ${body} end`;
  return [
    platformFunction(`${name}() returns event_trigger`, code),
    `drop event trigger if exists ${nameOf(trigger)};`,
    `create event trigger ${nameOf(trigger)} on ${event} ` +
      `when tag in (${tags.map(quoteLiteral).join(", ")}) execute function ${platform}.${name}();`,
    `alter event trigger ${nameOf(trigger)} disable;`,
  ];
});

/** Switches on all, or only those that stand in an instance of one tenant too. */
export function switching(shared: boolean): readonly string[] {
  return TRIGGERS.map((trigger) => {
    const how = shared || trigger.everywhere ? "enable" : "disable";
    return `alter event trigger ${nameOf(trigger)} ${how};`;
  });
}

/** Which of them, and of their functions, must stand in every instance. */
export const TRIGGERS_EVERYWHERE: readonly string[] = TRIGGERS.filter(
  ({ everywhere }) => everywhere,
).map(({ name }) => name);

/** Row level security, and whatever would read past it. */
import { SHARED_SCHEMA } from "../names.ts";
import { IS_RIGHT_GUARD } from "../writes-wall.ts";
import { catalogue, described, type Rule } from "./rule.ts";

const name = described(catalogue("pg_class"), "r.oid");
const inShared = { place: "shared", scope: "tenant", ofHoldings: true } as const;

/** `forced`: whether policies bind the owners of tables too, as the instance was made to. */
export function rulesOfRelations(forced: boolean): readonly Rule[] {
  return [...RULES, ...(forced ? [FORCED] : [])];
}

const FORCED: Rule = {
  ...inShared,
  id: "table.forced",
  subject: "tables",
  sentence: "Row level security binds the owner of every table too.",
  sql: `
    select r.tenant, r.relforcerowsecurity as held, ${name} as name
    from relations r where r.relkind in ('r', 'p')`,
};

const RULES: readonly Rule[] = [
  {
    ...inShared,
    id: "table.row_security",
    subject: "tables",
    sentence: "Row level security is enabled on every table.",
    sql: `
      select r.tenant, r.relrowsecurity as held, ${name} as name
      from relations r where r.relkind in ('r', 'p')`,
  },
  {
    ...inShared,
    id: "table.policy",
    subject: "tables",
    sentence: "Every table has the policy that lets through its tenant alone.",
    sql: `
      select r.tenant, exists (
          select from policies p where p.relation = r.oid and p."right") as held,
        ${name} as name
      from relations r where r.relkind in ('r', 'p')`,
  },
  {
    ...inShared,
    id: "table.permissive",
    subject: "tables",
    sentence: "No other policy of a table lets anybody through.",
    sql: `
      select r.tenant, not exists (
          select from policies p where p.relation = r.oid and p.permissive
            and p."right" is not true) as held,
        ${name} as name
      from relations r where r.relkind in ('r', 'p')`,
  },
  {
    ...inShared,
    id: "view.invoker",
    subject: "views",
    sentence: "Every view reads with the rights of who asks.",
    sql: `
      select r.tenant, coalesce((
          select v.option_value::pg_catalog.bool
          from pg_catalog.pg_options_to_table(r.reloptions) v
          where v.option_name = 'security_invoker'), false) as held,
        ${name} as name
      from relations r where r.relkind = 'v'`,
  },
  {
    ...inShared,
    id: "view.materialized",
    subject: "materialized views",
    sentence: "No materialized view keeps rows of a table that tenants share.",
    sql: `
      with recursive sources(start, source) as (
        select r.oid, r.oid from relations r where r.relkind = 'm'
        union
        select s.start, d.refobjid from sources s
        join pg_catalog.pg_rewrite w on w.ev_class = s.source
        join pg_catalog.pg_depend d on d.classid = ${catalogue("pg_rewrite")} and d.objid = w.oid
          and d.refclassid = ${catalogue("pg_class")}
      ), shared as materialized (
        select s.start from sources s join pg_catalog.pg_class c on c.oid = s.source
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = '${SHARED_SCHEMA}'
      )
      select r.tenant, not exists (select from shared s where s.start = r.oid) as held,
        ${name} as name
      from relations r where r.relkind = 'm'`,
  },
  {
    ...inShared,
    id: "table.foreign",
    subject: "foreign tables",
    sentence: "There is no foreign table, which no policy could guard.",
    sql: `
      select r.tenant, false as held, ${name} as name from relations r where r.relkind = 'f'`,
  },
  {
    ...inShared,
    place: "both",
    id: "table.writes",
    subject: "tables",
    sentence: "Every table has the trigger that refuses to add to it over quota.",
    sql: `
      select t.name as tenant, exists (
          select from pg_catalog.pg_trigger g
          where g.tgrelid = c.oid and ${IS_RIGHT_GUARD}) as held,
        ${described(catalogue("pg_class"), "c.oid")} as name
      from tenants t join objects o on o.owner = t.role and o.classid = ${catalogue("pg_class")}
      join pg_catalog.pg_class c on c.oid = o.objid
      where c.relkind in ('r', 'p') and c.relpersistence <> 't'`,
  },
  {
    ...inShared,
    id: "routine.definer",
    subject: "routines",
    sentence: "No routine runs with the rights of its owner (SECURITY DEFINER).",
    sql: `
      select t.name as tenant, not p.prosecdef as held,
        ${described("o.classid", "o.objid")} as name
      from objects o join tenants t on t.schema = o.namespace
      join pg_catalog.pg_proc p on p.oid = o.objid
      where o.classid = ${catalogue("pg_proc")}`,
  },
];

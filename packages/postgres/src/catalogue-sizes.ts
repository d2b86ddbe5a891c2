/**
 * What a tenant has written into the catalogue, which has no size for each owner as relations do:
 * bodies of functions, comments, defaults, views, conditions and settings, as they lie on disk.
 * Nothing of what they say is read, not even where it lies apart from its row. What the platform
 * wrote there for a tenant is left out.
 */

import { quoteLiteral } from "./identifier.ts";
import { PLATFORM_SCHEMA } from "./names.ts";
import { POLICY_PREFIX } from "./wall-functions.ts";
import { GUARD_PREFIX } from "./writes-wall.ts";

/** What the platform itself sets of a tenant's role is less; no tenant pays for that. */
const OURS_BYTES = 4_096;
/** Everything below is Postgres's own. */
const FIRST_USER_OID = 16_384;

function kept(...columns: readonly string[]): string {
  const sizes = columns.map((column) => `coalesce(pg_catalog.pg_column_size(${column}), 0)`);
  return `(${sizes.join(" + ")}) as bytes`;
}

/** Of what belongs to a relation, and with it to the relation's owner. */
function ofRelation(catalogue: string, relation: string, ...columns: readonly string[]): string {
  const qualified = columns.map((column) => `x.${column}`);
  return `select c.relowner as owner, ${kept(...qualified)}
    from pg_catalog.${catalogue} x join pg_catalog.pg_class c on c.oid = x.${relation}
    where x.${relation} >= ${FIRST_USER_OID}`;
}

/** By catalogue and number of what they are about. Those of large objects are chosen by tenants. */
const COMMENTS = `
  select coalesce(c.relowner, s.refobjid) as owner, ${kept("d.description")}
  from pg_catalog.pg_description d
  left join pg_catalog.pg_constraint k
    on d.classoid = 'pg_catalog.pg_constraint'::regclass and k.oid = d.objoid
  left join pg_catalog.pg_trigger t
    on d.classoid = 'pg_catalog.pg_trigger'::regclass and t.oid = d.objoid
  left join pg_catalog.pg_rewrite r
    on d.classoid = 'pg_catalog.pg_rewrite'::regclass and r.oid = d.objoid
  left join pg_catalog.pg_policy p
    on d.classoid = 'pg_catalog.pg_policy'::regclass and p.oid = d.objoid
  left join pg_catalog.pg_class c on c.oid = coalesce(
    case when d.classoid = 'pg_catalog.pg_class'::regclass then d.objoid end,
    k.conrelid, t.tgrelid, r.ev_class, p.polrelid)
  left join pg_catalog.pg_shdepend s on c.oid is null and s.deptype = 'o' and s.objsubid = 0
    and s.classid = d.classoid and s.objid = d.objoid and s.dbid = (
      select b.oid from pg_catalog.pg_database b
      where b.datname = pg_catalog.current_database())
  where d.objoid >= ${FIRST_USER_OID} or d.classoid = 'pg_catalog.pg_largeobject'::regclass`;

/** By role: `owner` its oid, `bytes` what it keeps there. Who keeps nothing has no row. */
export const CATALOGUE_SIZES = `
  select owner, pg_catalog.sum(bytes)::float8 as bytes from (
    select proowner as owner, ${kept(
      ...["prosrc", "prosqlbody", "proargnames", "proargdefaults", "proconfig"],
    )} from pg_catalog.pg_proc where oid >= ${FIRST_USER_OID} and pronamespace <> all (
      select oid from pg_catalog.pg_namespace where nspname = ${quoteLiteral(PLATFORM_SCHEMA)})
    union all ${ofRelation("pg_attrdef", "adrelid", "adbin")}
    union all ${ofRelation("pg_attribute", "attrelid", "attmissingval", "attoptions")}
      and (x.atthasmissing or x.attoptions is not null)
    union all ${ofRelation("pg_rewrite", "ev_class", "ev_qual", "ev_action")}
    union all ${ofRelation("pg_constraint", "conrelid", "conbin")}
    union all ${ofRelation("pg_trigger", "tgrelid", "tgargs", "tgqual")}
      and not pg_catalog.starts_with(x.tgname::pg_catalog.text, ${quoteLiteral(GUARD_PREFIX)})
    union all ${ofRelation("pg_policy", "polrelid", "polqual", "polwithcheck")}
      and not pg_catalog.starts_with(x.polname::pg_catalog.text, ${quoteLiteral(POLICY_PREFIX)})
    union all ${ofRelation("pg_index", "indrelid", "indexprs", "indpred")}
    union all select setrole, greatest(0, pg_catalog.pg_column_size(setconfig) - ${OURS_BYTES})
      from pg_catalog.pg_db_role_setting
    union all ${COMMENTS}
  ) texts where owner is not null group by owner having pg_catalog.sum(bytes) > 0`;

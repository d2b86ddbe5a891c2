/** Who may do what with what is a tenant's: nobody but the tenant and the platform's superuser. */
import { catalogue, described, type Rule } from "./rule.ts";

const inShared = { place: "shared", scope: "tenant" } as const;

interface Listed {
  readonly id: string;
  readonly subject: string;
  readonly sentence: string;
  readonly catalogue: string;
  readonly where?: string;
  /**
   * Anybody may by default, and reaches none of it without the schema, which only the tenant may.
   */
  readonly open?: true;
}

const LISTED: readonly Listed[] = [
  {
    id: "privilege.relations",
    subject: "relations",
    sentence: "Nobody else may do anything with a table or a view.",
    catalogue: "pg_class",
    where: "c.relkind <> 'S'",
  },
  {
    id: "privilege.sequences",
    subject: "sequences",
    sentence: "Nobody else may do anything with a sequence.",
    catalogue: "pg_class",
    where: "c.relkind = 'S'",
  },
  {
    id: "privilege.routines",
    subject: "routines",
    sentence: "No role but the tenant may execute a routine.",
    catalogue: "pg_proc",
    open: true,
  },
  {
    id: "privilege.types",
    subject: "types",
    sentence: "No role but the tenant may use a type.",
    catalogue: "pg_type",
    open: true,
  },
];

/** Whether a list of rights names nobody but the tenant and the platform. */
function onlyOwn(acl: string, open: boolean): string {
  return `not exists (
    select from pg_catalog.aclexplode(${acl}) e
    where e.grantee <> t.role and e.grantee <> 10${open ? " and e.grantee <> 0" : ""})`;
}

function ruleOf({ catalogue: name, where, open, ...rest }: Listed): Rule {
  const relation = where ? "join pg_catalog.pg_class c on c.oid = o.objid" : "";
  return {
    ...inShared,
    ...rest,
    ofHoldings: true,
    sql: `
      select t.name as tenant, ${onlyOwn("o.acl", open ?? false)} as held,
        ${described("o.classid", "o.objid")} as name
      from objects o join tenants t on t.schema = o.namespace ${relation}
      where o.classid = ${catalogue(name)}${where ? ` and ${where}` : ""}`,
  };
}

/** Schemas and databases that a tenant of its own may use by the platform's grant. */
const GRANTED_IN_OWN = `
  or (d.classid = ${catalogue("pg_namespace")}
    and d.objid = 'public'::pg_catalog.regnamespace::pg_catalog.oid)
  or d.classid = ${catalogue("pg_database")}`;

function elsewhere(place: "shared" | "dedicated"): Rule {
  return {
    place,
    scope: "tenant",
    id: "privilege.elsewhere",
    subject: "grants",
    sentence: "Nothing that is not its own was granted to the tenant.",
    sql: `
      select t.name as tenant, (d.classid = ${catalogue("pg_namespace")} and d.objid = t.schema
          ${place === "dedicated" ? GRANTED_IN_OWN : ""}) as held,
        coalesce(${described("d.classid", "d.objid", "d.objsubid")}) as name
      from tenants t join links d on d.tenant = t.name and d.deptype = 'a'`,
  };
}

export const RULES_OF_PRIVILEGES: readonly Rule[] = [
  ...LISTED.map(ruleOf),
  {
    ...inShared,
    id: "privilege.columns",
    subject: "columns with rights of their own",
    sentence: "Nobody else may do anything with a column.",
    ofHoldings: true,
    sql: `
      select t.name as tenant, ${onlyOwn("a.attacl", false)} as held,
        ${described(catalogue("pg_class"), "a.attrelid", "a.attnum")} as name
      from relations r join tenants t on t.name = r.tenant
      join pg_catalog.pg_attribute a on a.attrelid = r.oid
      where a.attacl is not null and a.attnum > 0 and not a.attisdropped`,
  },
  {
    ...inShared,
    id: "privilege.schema",
    subject: "schemas",
    sentence: "Nobody else may use the tenant's schema, and the tenant cannot let anybody.",
    sql: `
      select t.name as tenant, ${onlyOwn("n.nspacl", false)} and not exists (
          select from pg_catalog.aclexplode(n.nspacl) e
          where e.grantee = t.role and e.is_grantable) as held,
        'schema ' || n.nspname as name
      from tenants t join pg_catalog.pg_namespace n on n.oid = t.schema`,
  },
  {
    ...inShared,
    id: "privilege.large_objects",
    subject: "large objects",
    sentence:
      "Nobody else may read or write a large object: of a tenant's, the first ten thousand are " +
      "looked at.",
    sql: `
      select t.name as tenant, ${onlyOwn("l.lomacl", false)} as held,
        'large object ' || l.oid as name
      from tenants t join links d on d.tenant = t.name and d.deptype = 'o'
        and d.classid = ${catalogue("pg_largeobject")}
      join pg_catalog.pg_largeobject_metadata l on l.oid = d.objid and l.lomowner = t.role`,
  },
  {
    ...inShared,
    id: "privilege.defaults",
    subject: "default privileges",
    sentence: "Nothing that the tenant makes later comes with rights of anybody else.",
    sql: `
      select t.name as tenant, not exists (
          select from pg_catalog.aclexplode(f.defaclacl) e
          where e.grantee <> t.role and e.grantee <> 10
            and not (e.grantee = 0 and f.defaclobjtype in ('f', 'T')))
          and f.defaclnamespace in (0, t.schema) as held,
        ${described(catalogue("pg_default_acl"), "f.oid")} as name
      from tenants t join pg_catalog.pg_default_acl f on f.defaclrole = t.role`,
  },
  elsewhere("shared"),
  elsewhere("dedicated"),
];

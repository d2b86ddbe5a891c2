/**
 * A tenant inside an instance: a role and a schema that carry the tenant's id. The platform owns
 * the schema. In a shared instance nothing else mentions the tenant: what all tenants may is
 * granted once, to TENANTS_ROLE, so that no list grows with their number.
 */
import { isId, type TenantId } from "@aerodb/model";
import { type Client, DatabaseError } from "pg";
import { databaseFault } from "./database-fault.ts";
import { ensureExtensions } from "./extensions.ts";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { DATABASE, PLATFORM_SCHEMA, TENANTS_ROLE, WRITERS_ROLE } from "./names.ts";
import { parseScramVerifier } from "./scram.ts";
import { EARLIER_WRITERS, endEarlierWriters } from "./tenant-writers.ts";
import { requestDoor } from "./wall-functions.ts";
import { WALL_TRIGGER } from "./wall-triggers.ts";
import { joining, OTHER_SCHEMAS, writesAccepted } from "./writes-accepted.ts";

export interface TenantRole {
  readonly tenantId: TenantId;
  readonly verifier: string;
  readonly connectionLimit: number;
  /** Extensions that should be in its instance; none when left out. */
  readonly extensions?: readonly string[];
  /** Whether it may not log in, and should have no session. */
  readonly suspended?: boolean;
  /** Whether it may add to nothing: what it stores is over its quota. */
  readonly writesRefused?: boolean;
}

/**
 * What one process of a schema tenant may spill: a sort of some gigabytes is no work for a server
 * that others share, and the limit of the server would let it fill the disk of all.
 */
export const TEMP_FILE_LIMIT = "512MB";
const DUPLICATE_OBJECT = "42710";
const DUPLICATE_SCHEMA = "42P06";
const UNIQUE_VIOLATION = "23505";

/**
 * Makes a tenant's role and schema, or makes those that are there what they should be: one round
 * trip when there is nothing yet, all or nothing. `dedicated` also lets it use `public` and create
 * schemas.
 */
export async function ensureTenant(
  client: Client,
  tenant: TenantRole & { readonly dedicated: boolean },
): Promise<void> {
  try {
    await create(client, tenant);
  } catch (error) {
    throw databaseFault(error, `make ${tenant.tenantId}`);
  }
  if (tenant.extensions?.length) await ensureExtensions(client, tenant.extensions);
  if (tenant.writesRefused) await endEarlierWriters(client, tenant.tenantId);
}

async function create(
  client: Client,
  tenant: TenantRole & { readonly dedicated: boolean },
): Promise<void> {
  try {
    await client.query(creation(tenant));
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    await client.query(repair(tenant));
  }
}

/** Several statements in one message are one transaction. */
function creation(tenant: TenantRole & { readonly dedicated: boolean }): string {
  const name = quoteIdentifier(tenant.tenantId);
  return [
    `create role ${name} ${rights(tenant)}`,
    joining(TENANTS_ROLE, name),
    `create schema ${name}`,
    ...grants(tenant),
    ...settings(tenant),
  ].join(";\n");
}

/** Whatever part is missing or was changed; what the tenant holds in its schema is untouched. */
function repair(tenant: TenantRole & { readonly dedicated: boolean }): string {
  const name = quoteIdentifier(tenant.tenantId);
  const found = `select from pg_catalog.pg_roles where rolname = ${quoteLiteral(tenant.tenantId)}`;
  return [
    `do $role$ begin if not exists (${found}) then create role ${name}; end if; end $role$`,
    `alter role ${name} ${rights(tenant)}`,
    // With a library it cannot load, a role cannot log in to take the setting back.
    `alter role ${name} reset local_preload_libraries`,
    `alter role ${name} in database ${quoteIdentifier(DATABASE)} reset local_preload_libraries`,
    `alter role ${name} in database ${quoteIdentifier(DATABASE)} reset app.tenant_id`,
    // It would begin its sessions as another, which neither it nor the walls would know.
    `alter role ${name} reset role`,
    `alter role ${name} in database ${quoteIdentifier(DATABASE)} reset role`,
    joining(TENANTS_ROLE, name),
    `create schema if not exists ${name}`,
    ...grants(tenant),
    ...settings(tenant),
  ].join(";\n");
}

function rights(tenant: TenantRole): string {
  if (parseScramVerifier(tenant.verifier) === undefined) {
    throw new Error("bug: a password where its verifier belongs");
  }
  const limit = tenant.connectionLimit;
  if (!Number.isInteger(limit) || limit < 0) throw new Error(`bug: a connection limit of ${limit}`);
  const never = "nosuperuser nocreatedb nocreaterole noreplication nobypassrls";
  const password = quoteLiteral(tenant.verifier);
  const login = tenant.suspended ? "nologin" : "login";
  return `${login} inherit ${never} connection limit ${limit} password ${password}`;
}

function grants(tenant: TenantRole & { readonly dedicated: boolean }) {
  const { tenantId, dedicated, writesRefused = false } = tenant;
  const name = quoteIdentifier(tenantId);
  const own = `grant usage on schema ${name} to ${name}`;
  const writes = writesAccepted(tenantId, { dedicated, accepted: !writesRefused });
  if (!dedicated) return [own, ...writes, ...requestDoor(tenantId)];
  return [own, `grant usage on schema public to ${name}`, ...writes];
}

/** The tag by which policies know the tenant is there from the start of every session. */
function settings(tenant: TenantRole & { readonly dedicated: boolean }): readonly string[] {
  const name = quoteIdentifier(tenant.tenantId);
  const tag = `alter role ${name} set app.tenant_id = ${quoteLiteral(tenant.tenantId)}`;
  if (tenant.dedicated) return [tag];
  return [tag, `alter role ${name} set temp_file_limit = ${quoteLiteral(TEMP_FILE_LIMIT)}`];
}

function isDuplicate(error: unknown): boolean {
  if (!(error instanceof DatabaseError)) return false;
  // Two that create the same at once meet in the catalogue's index instead.
  return [DUPLICATE_OBJECT, DUPLICATE_SCHEMA, UNIQUE_VIOLATION].includes(error.code ?? "");
}

/** What an instance holds of a tenant. */
export interface ListedTenant {
  readonly tenantId: TenantId;
  readonly role: boolean;
  readonly schema: boolean;
  /**
   * Whether the role is in TENANTS_ROLE, may use its schema, has no right it must not, may write
   * everywhere or nowhere, and begins every session with its own tag; where walls stand, also
   * whether pooled requests reach it.
   */
  readonly granted: boolean;
  /** Which of that it is not, by the rules of proofs that ask the same. */
  readonly lacks: readonly string[];
  readonly canLogin: boolean;
  /** Sessions that its role has open. */
  readonly sessions: number;
  readonly verifier: string | undefined;
  /** -1 when there is no limit, or no role. */
  readonly connectionLimit: number;
  /** Whether it may add to nothing, not being allowed to create in its own schema. */
  readonly writesRefused: boolean;
  /** Of one that may not: sessions that could still write by what they began with. */
  readonly earlierWriters: number;
  /** What is set for its role, by the platform or itself, as `name=value`. */
  readonly settings: readonly string[];
  /** Extensions in its instance, whoever installed them. */
  readonly extensions: readonly string[];
}

/** Everything in the instance that is called like a tenant, in one query. */
export async function listTenants(client: Client): Promise<readonly ListedTenant[]> {
  try {
    const { rows } = await client.query<ListedRow>(LIST);
    return rows
      .filter(({ tenantId }) => isId("ten", tenantId))
      .map((row) => ({ ...row, verifier: row.verifier ?? undefined }));
  } catch (error) {
    throw databaseFault(error, "list its tenants");
  }
}

interface ListedRow extends Omit<ListedTenant, "verifier"> {
  readonly verifier: string | null;
}

/** Of a role `r` and its schema `n`. */
const ACCEPTED = `coalesce(pg_catalog.has_schema_privilege(r.oid, n.oid, 'create'), false)`;
/** In an instance of its own it also has a database and maybe other schemas to create in. */
const CREATES_ELSEWHERE = `not exists (select from walled) and r.oid is not null
      and n.oid is not null and not ${ACCEPTED} and (
        pg_catalog.has_database_privilege(r.oid, '${DATABASE}', 'create')
        or exists (select from pg_catalog.pg_namespace o where ${OTHER_SCHEMAS}
          and pg_catalog.has_schema_privilege(r.oid, o.oid, 'create')))`;

const LIST = `
with members as materialized (
  select m.member from pg_catalog.pg_auth_members m
  where m.roleid = (select oid from pg_catalog.pg_authid where rolname = '${TENANTS_ROLE}')
    and pg_catalog.to_jsonb(m) ->> 'set_option' is distinct from 'true'
), writers as materialized (
  select m.member, pg_catalog.bool_or(
    coalesce(pg_catalog.to_jsonb(m) ->> 'set_option' = 'true', false)) as settable
  from pg_catalog.pg_auth_members m
  where m.roleid = (select oid from pg_catalog.pg_authid where rolname = '${WRITERS_ROLE}')
  group by m.member
), settings as materialized (
  select s.setrole, pg_catalog.array_agg(pair) as pairs,
    pg_catalog.string_agg(pair, ',') filter (
      where pg_catalog.starts_with(pair, 'app.tenant_id=')) as tag
  from pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) pair
  where s.setrole <> 0 group by s.setrole
), sessions as materialized (
  select a.usesysid, pg_catalog.count(*)::integer as open
  from pg_catalog.pg_stat_activity a where a.usesysid is not null group by a.usesysid
), doors as materialized (
  select p.proowner from pg_catalog.pg_proc p
  join pg_catalog.pg_authid o on o.oid = p.proowner and o.rolname = p.proname
  where p.pronamespace = pg_catalog.to_regnamespace('${PLATFORM_SCHEMA}') and p.prosecdef
), walled as materialized (
  select from pg_catalog.pg_event_trigger
  where evtname = '${WALL_TRIGGER}' and evtenabled <> 'D'
), roles as (
  select * from pg_catalog.pg_authid where pg_catalog.starts_with(rolname::pg_catalog.text, 'ten_')
), schemas as (
  select * from pg_catalog.pg_namespace
  where pg_catalog.starts_with(nspname::pg_catalog.text, 'ten_')
)
select found.*, pg_catalog.cardinality(found."lacks") = 0 as "granted" from (
select coalesce(r.rolname, n.nspname) as "tenantId",
  r.oid is not null as "role",
  n.oid is not null as "schema",
  pg_catalog.array_remove(array[
    case when m.member is null or w.settable or (w.member is not null) <> ${ACCEPTED}
      then 'role.memberships' end,
    case when r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls
      then 'role.attributes' end,
    case when not coalesce(pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage'), false)
      then 'privilege.schema' end,
    case when ${CREATES_ELSEWHERE} then 'privilege.elsewhere' end,
    case when not coalesce(s.tag = 'app.tenant_id=' || r.rolname, false)
      or exists (select from walled)
        and not coalesce(s.pairs @> array['temp_file_limit=${TEMP_FILE_LIMIT}'], false)
      then 'role.settings' end,
    case when exists (select from walled) and r.oid is not null
      and r.oid not in (select proowner from doors) then 'role.door' end
  ], null) as "lacks",
  coalesce(r.rolcanlogin, false) as "canLogin",
  coalesce(o.open, 0) as "sessions",
  r.rolpassword as "verifier",
  coalesce(r.rolconnlimit, -1) as "connectionLimit",
  r.oid is not null and n.oid is not null and not ${ACCEPTED} as "writesRefused",
  ${EARLIER_WRITERS} as "earlierWriters",
  coalesce(s.pairs, '{}') as "settings",
  array(select extname::pg_catalog.text from pg_catalog.pg_extension
         where extname <> 'plpgsql') as "extensions"
from roles r
full join schemas n on n.nspname = r.rolname
left join members m on m.member = r.oid
left join writers w on w.member = r.oid
left join settings s on s.setrole = r.oid
left join sessions o on o.usesysid = r.oid
) as found
`;

/** Settings of a role that are taken back from it. */
const UNDONE = /^(local_preload_libraries|role)=/;

/** Whether an instance holds of a tenant what it should. */
export function isAsDesired(listed: ListedTenant, desired: TenantRole): boolean {
  return (
    listed.role &&
    listed.schema &&
    listed.granted &&
    (desired.suspended ? !listed.canLogin && listed.sessions === 0 : listed.canLogin) &&
    listed.verifier === desired.verifier &&
    listed.connectionLimit === desired.connectionLimit &&
    listed.writesRefused === (desired.writesRefused ?? false) &&
    listed.earlierWriters === 0 &&
    (desired.extensions ?? []).every((name) => listed.extensions.includes(name)) &&
    !listed.settings.some((setting) => UNDONE.test(setting))
  );
}

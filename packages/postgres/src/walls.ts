/**
 * Puts the walls of the schema model into an instance: what the template already holds, switched on
 * where an instance is shared, and made anew where an earlier agent made the instance. A comment on
 * the platform's schema says which walls stand, so that those that do cost one question.
 */
import { createHash } from "node:crypto";
import { Fault } from "@aerodb/model";
import type { Client, DatabaseError } from "pg";
import { databaseFault, isOfStatement } from "./database-fault.ts";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { PLATFORM_SCHEMA, POOL_ROLE, SHARED_SCHEMA, TENANTS_ROLE, WRITERS_ROLE } from "./names.ts";
import { type PoolLogin, poolRights, poolRoleCreation } from "./pool-login.ts";
import { closingFunctions } from "./public-functions.ts";
import {
  forcing,
  ONE_AT_A_TIME,
  oneLine,
  POLICY_PREFIX,
  platform,
  WALL_FUNCTIONS,
} from "./wall-functions.ts";
import { switching, WALL_TRIGGERS } from "./wall-triggers.ts";
import { IS_RIGHT_GUARD, WRITERS_GROUP, WRITES_FUNCTIONS } from "./writes-wall.ts";

export interface Walls {
  /** Whether tenants are to be kept apart here: in an instance of many. */
  readonly shared: boolean;
  /**
   * Whether policies bind the owners of tables too, who then cannot COPY into them or dump them.
   */
  readonly forced: boolean;
}

export interface WallOptions extends Walls {
  /** With it the login of pooled requests comes in; left as it is when left out. */
  readonly pool?: PoolLogin;
}

/** How many relations are made right in one transaction: few locks, held for a moment. */
const BATCH_RELATIONS = 64;
const LOCK_TIMEOUT_MS = 1_000;
/** After so many batches that somebody held up, the rest waits for the next time. */
const MOST_BLOCKED = 10;
const BLOCKED_CODES = ["55P03", "40P01", "53200"];

const tenants = quoteIdentifier(TENANTS_ROLE);
/** Tenants have the rights of these, and could say what comes with what they make. */
const GROUPS = [TENANTS_ROLE, WRITERS_ROLE].map(quoteLiteral).join(", ");

const STANDING: readonly string[] = [
  ...poolRoleCreation(),
  `create schema if not exists ${platform};`,
  `grant usage on schema ${platform} to ${tenants};`,
  forcing(false),
  ...WRITERS_GROUP,
  ...WALL_FUNCTIONS,
  ...WRITES_FUNCTIONS,
  ...WALL_TRIGGERS,
];
const VERSION = createHash("sha256").update(STANDING.join("\n")).digest("hex").slice(0, 12);

function mark({ shared, forced }: Walls): string {
  return `walls ${VERSION}${shared ? " shared" : ""}${forced ? " forced" : ""}`;
}

function switched(walls: Walls): readonly string[] {
  return [
    forcing(walls.forced),
    ...switching(walls.shared),
    ...(walls.shared ? [closingFunctions()] : []),
    `comment on schema ${platform} is ${quoteLiteral(mark(walls))};`,
  ];
}

/** Statements of one line each, for the template: everything is there, and nothing switched on. */
export const WALLS: readonly string[] = [
  ...STANDING,
  ...switched({ shared: false, forced: false }),
];

/**
 * Makes the walls of an instance what they should be, and the relations that its tenants already
 * have: as their owners, for no statement of the superuser touches what a tenant made. Returns how
 * many relations are left for the next time because somebody holds them. Safe to repeat and to
 * race; one question when nothing is to do.
 */
export async function ensureWalls(client: Client, walls: WallOptions): Promise<number> {
  try {
    const { rows } = await client.query<Look>(LOOK, [walls.shared, walls.forced]);
    const [look] = rows;
    if (look === undefined) throw new Error("bug: no answer to what walls there are");
    if (look.own === false) {
      // Where it is alone the rights that it has are wall enough.
      if (!walls.shared) return 0;
      throw taken();
    }
    await raise(client, walls, look);
    const unguarded = (await client.query<Bare>(UNGUARDED)).rows;
    return (
      (await keepRelations(client, "keep_relation", look.bare)) +
      (await keepRelations(client, "keep_writes", unguarded))
    );
  } catch (error) {
    throw databaseFault(error, "raise its walls");
  }
}

/**
 * Every tenant has the rights of the groups, and with them may say what comes with what a group
 * makes. They make nothing, so what is said has no effect; but it would stand there for all.
 */
export const DEFAULTS_AS_NEW = oneLine(`do $defaults$
  declare it record; who text; head text;
  begin
    for it in
      select f.defaclacl as acl, f.defaclnamespace = 0 as everywhere, g.rolname as role,
        (array['tables', 'sequences', 'functions', 'types', 'schemas', 'large objects'])[
          pg_catalog.strpos('rSfTnL', f.defaclobjtype::pg_catalog.text)] as kind,
        coalesce((select pg_catalog.format(' in schema %I', n.nspname)
          from pg_catalog.pg_namespace n where n.oid = f.defaclnamespace), '') as place
      from pg_catalog.pg_default_acl f join pg_catalog.pg_roles g on g.oid = f.defaclrole
      where g.rolname in (${GROUPS})
    loop
      head := pg_catalog.format('alter default privileges for role %I%s ', it.role, it.place);
      for who in select distinct case e.grantee when 0 then 'public'
          else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(e.grantee)) end
        from pg_catalog.aclexplode(it.acl) e
      loop
        execute pg_catalog.format('%s revoke all on %s from %s', head, it.kind, who);
      end loop;
      if it.everywhere then
        execute pg_catalog.format('%s grant all on %s to %I', head, it.kind, it.role);
        if it.kind in ('functions', 'types') then
          execute pg_catalog.format('%s grant all on %s to public', head, it.kind);
        end if;
      end if;
    end loop;
  end $defaults$;`);

interface Look {
  readonly mark: string | null;
  /** Null when there is no schema of the platform. */
  readonly own: boolean | null;
  /** Of the login of pooled requests, where that may log in. */
  readonly verifier: string | null;
  /** Whether somebody decided what comes with what all tenants as a group would make. */
  readonly defaults: boolean;
  readonly bare: readonly Bare[];
}

/** Relations of a tenant that lack what the platform keeps on them. */
interface Bare {
  readonly tenantId: string;
  readonly relations: readonly number[];
}

/** What EXPLAIN ANALYZE made is here too: Postgres fires no event trigger for that. */
const LOOK = `
with recursive sources(start, source) as (
  select c.oid, c.oid from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where $1 and c.relkind = 'm' and pg_catalog.starts_with(n.nspname::pg_catalog.text, 'ten_')
  union
  select s.start, d.refobjid from sources s
  join pg_catalog.pg_rewrite w on w.ev_class = s.source
  join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    and d.objid = w.oid and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
), kept as materialized (
  select s.start from sources s join pg_catalog.pg_class c on c.oid = s.source
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = '${SHARED_SCHEMA}'
)
select s.mark, s.own, exists (
  select from pg_catalog.pg_default_acl f join pg_catalog.pg_roles g on g.oid = f.defaclrole
  where g.rolname in (${GROUPS})
) as defaults, (
  select rolpassword from pg_catalog.pg_authid where rolname = '${POOL_ROLE}' and rolcanlogin
) as verifier, coalesce((
  select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('tenantId', b.tenant,
    'relations', b.relations))
  from (
    select n.nspname as tenant, pg_catalog.array_agg(c.oid) as relations
    from pg_catalog.pg_namespace n
    join pg_catalog.pg_roles r on r.rolname = n.nspname
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relowner = r.oid
    where $1 and pg_catalog.starts_with(n.nspname::pg_catalog.text, 'ten_')
      and case c.relkind
        when 'v' then not coalesce(c.reloptions && '{security_invoker=true}', false)
        when 'm' then c.oid in (select start from kept)
        else c.relkind in ('r', 'p') and (
          not c.relrowsecurity or ($2 and not c.relforcerowsecurity) or not exists (
            select from pg_catalog.pg_policy p where p.polrelid = c.oid
              and pg_catalog.starts_with(p.polname::pg_catalog.text, '${POLICY_PREFIX}')))
        end
    group by n.nspname
  ) b), '[]') as bare
from (select) one left join (
  select pg_catalog.obj_description(oid, 'pg_namespace') as mark, nspowner = 10 as own
  from pg_catalog.pg_namespace where nspname = '${PLATFORM_SCHEMA}'
) s on true`;

/** Tables without the trigger that refuses writes over quota, wherever a tenant has them. */
const UNGUARDED = `
select r.rolname as "tenantId", pg_catalog.array_agg(c.oid) as relations
from pg_catalog.pg_class c
join pg_catalog.pg_roles r on r.oid = c.relowner
where c.relkind in ('r', 'p') and c.relpersistence <> 't'
  and pg_catalog.starts_with(r.rolname::pg_catalog.text, 'ten_')
  and not exists (select from pg_catalog.pg_trigger g
    where g.tgrelid = c.oid and ${IS_RIGHT_GUARD})
group by r.rolname`;

function taken(): Fault {
  return new Fault(
    "UNAVAILABLE",
    `The tenant has a schema "${PLATFORM_SCHEMA}" of its own, where the platform's must be: let ` +
      "it rename that schema.",
  );
}

/** Several statements in one message are one transaction; a second that comes waits for it. */
async function raise(client: Client, walls: WallOptions, look: Look): Promise<void> {
  const { pool } = walls;
  const stands = look.mark?.startsWith(`walls ${VERSION}`) ?? false;
  const statements = [
    ...(stands ? [] : STANDING),
    ...(look.mark === mark(walls) ? [] : switched(walls)),
    ...(look.defaults ? [DEFAULTS_AS_NEW] : []),
    ...(pool === undefined || pool.verifier === look.verifier ? [] : poolRights(pool)),
  ];
  if (statements.length > 0) await client.query([`${ONE_AT_A_TIME};`, ...statements].join("\n"));
}

type Keeping = "keep_relation" | "keep_writes";

async function keepRelations(
  client: Client,
  keeping: Keeping,
  bare: readonly Bare[],
): Promise<number> {
  let left = 0;
  let blocked = 0;
  for (const { tenantId, relations } of bare) {
    for (let start = 0; start < relations.length; start += BATCH_RELATIONS) {
      const batch = relations.slice(start, start + BATCH_RELATIONS);
      const outcome =
        blocked < MOST_BLOCKED ? await keepBatch(client, keeping, tenantId, batch) : "held";
      if (outcome === "kept") continue;
      if (outcome === "held") blocked += 1;
      left += batch.length;
    }
  }
  return left;
}

/**
 * Whether it was done: it is held while somebody else holds one of them. Whatever else one tenant's
 * relations fail for is found by its proof, and keeps nobody from the others.
 */
async function keepBatch(
  client: Client,
  keeping: Keeping,
  tenantId: string,
  relations: readonly number[],
): Promise<"kept" | "held" | "failed"> {
  try {
    await client.query(
      [
        `set local lock_timeout = '${LOCK_TIMEOUT_MS}ms'`,
        `set local session authorization ${quoteIdentifier(tenantId)}`,
        ...relations.map((relation) => `select ${platform}.${keeping}(${relation})`),
      ].join(";\n"),
    );
    return "kept";
  } catch (error) {
    if (!isOfStatement(error)) throw error;
    const { code = "" } = error as DatabaseError;
    return BLOCKED_CODES.includes(code) ? "held" : "failed";
  }
}

/** The statements that take most time, where the server counts them. */
import { isId, type TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { quoteIdentifier } from "./identifier.ts";

export interface TopStatement {
  /** Whose it is; undefined when it is the platform's. */
  readonly tenantId: TenantId | undefined;
  readonly queryId: bigint;
  /** Normalized: its constants are cut out. */
  readonly query: string;
  readonly calls: bigint;
  readonly totalSeconds: number;
  readonly rows: bigint;
}

const MOST_EACH = 5;
const MOST = 100;
const MOST_CHARACTERS = 1_000;

/** Those of each tenant that took most time since the server came up; none where nobody counts. */
export async function askStatements(client: Client): Promise<readonly TopStatement[]> {
  const found = await client.query<{ readonly schema: string }>(FIND);
  const schema = found.rows[0]?.schema;
  if (schema === undefined) return [];
  const { rows } = await client.query<StatementRow>(statement(quoteIdentifier(schema)));
  return rows.map((row) => ({
    tenantId: isId("ten", row.owner) ? row.owner : undefined,
    queryId: BigInt(row.query_id),
    query: row.query,
    calls: BigInt(row.calls),
    totalSeconds: row.total_seconds,
    rows: BigInt(row.rows),
  }));
}

interface StatementRow {
  readonly owner: string;
  readonly query_id: string;
  readonly query: string;
  readonly calls: string;
  readonly total_seconds: number;
  readonly rows: string;
}

/**
 * Finds the function only as part of the extension, which none but a superuser can make: something
 * that a tenant has called the same is not taken for it.
 */
const FIND = `
select n.nspname as schema
from pg_catalog.pg_extension e
join pg_catalog.pg_roles o on o.oid = e.extowner and o.rolsuper
join pg_catalog.pg_namespace n on n.oid = e.extnamespace
join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
  and d.refobjid = e.oid and d.deptype = 'e'
  and d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
join pg_catalog.pg_proc p on p.oid = d.objid and p.pronamespace = n.oid
  and p.proname = 'pg_stat_statements' and p.pronargs = 1
  and p.proargtypes[0] = 'bool'::pg_catalog.regtype
where e.extname = 'pg_stat_statements'
  and pg_catalog.has_schema_privilege(n.oid, 'usage')
  and pg_catalog.strpos(pg_catalog.current_setting('shared_preload_libraries', true),
    'pg_stat_statements') > 0`;

function statement(schema: string): string {
  return `
select owner, query_id, query, calls, total_seconds, rows from (
  select r.rolname::pg_catalog.text as owner, s.queryid::pg_catalog.text as query_id,
    pg_catalog."left"(s.query, ${MOST_CHARACTERS}) as query, s.calls::pg_catalog.text as calls,
    s.total_exec_time / 1000 as total_seconds, s.rows::pg_catalog.text as rows,
    pg_catalog.row_number() over (partition by s.userid order by s.total_exec_time desc) as place
  from ${schema}.pg_stat_statements(true) s
  join pg_catalog.pg_roles r on r.oid = s.userid
  join pg_catalog.pg_database d on d.oid = s.dbid
  where d.datname = pg_catalog.current_database() and s.queryid is not null
) ranked where place <= ${MOST_EACH} order by total_seconds desc limit ${MOST}`;
}

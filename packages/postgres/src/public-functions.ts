/**
 * What Postgres lets everybody execute and no tenant of a shared instance needs. Neither psql,
 * pg_dump, pg_restore nor what drivers ask of the catalogue calls any of it. What they do call
 * stays, even where it says something of neighbours: sizes, statistics, names.
 */
import { quoteLiteral } from "./identifier.ts";
import { oneLine } from "./wall-functions.ts";

interface ClosedFunction {
  readonly name: string;
  readonly because: string;
  /** The first major that has it; all when left out. */
  readonly since?: number;
}

const TOGETHER = "shows how much all tenants together write";
const SERVER = "says of the server what only the platform needs to know";
const FOREIGN_TYPE = "runs what a neighbour's type checks; values are read and written without it";

export const CLOSED_FUNCTIONS: readonly ClosedFunction[] = [
  { name: "pg_lock_status", because: "shows the keys that neighbours lock, and when" },
  { name: "pg_prepared_xact", because: "shows neighbours' transactions by name" },
  { name: "pg_logical_emit_message", because: "fills the log of all, where no limit counts it" },
  { name: "pg_current_wal_lsn", because: TOGETHER },
  { name: "pg_current_wal_insert_lsn", because: TOGETHER },
  { name: "pg_current_wal_flush_lsn", because: TOGETHER },
  { name: "pg_stat_get_wal", because: TOGETHER },
  { name: "pg_available_wal_summaries", because: TOGETHER, since: 17 },
  { name: "pg_wal_summary_contents", because: "shows which files neighbours write", since: 17 },
  { name: "pg_control_checkpoint", because: TOGETHER },
  { name: "pg_control_system", because: SERVER },
  { name: "pg_control_init", because: SERVER },
  { name: "pg_control_recovery", because: SERVER },
  { name: "pg_relation_filepath", because: SERVER },
  ...["array", "domain", "enum", "range", "multirange", "record"].flatMap((kind) =>
    ["in", "recv"].map((way) => ({ name: `${kind}_${way}`, because: FOREIGN_TYPE })),
  ),
];

/**
 * Closes them, whatever they take and whichever of them a major has, to all but those who measure.
 * Safe to repeat.
 */
export function closingFunctions(): string {
  const names = CLOSED_FUNCTIONS.map(({ name }) => quoteLiteral(name)).join(", ");
  return oneLine(`
    do $close$ declare closed regprocedure;
    begin
      for closed in select oid from pg_catalog.pg_proc
        where pronamespace = 'pg_catalog'::pg_catalog.regnamespace and proname in (${names})
      loop
        execute pg_catalog.format('revoke execute on function %s from public', closed);
        execute pg_catalog.format('grant execute on function %s to pg_monitor', closed);
      end loop;
    end $close$;`);
}

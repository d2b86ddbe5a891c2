/**
 * What a session keeps between two transactions, and how another session is given the same. Asked
 * of the server itself by `RECALL_SESSION`, as the session's own role.
 */
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { UNIT_MS } from "./setting-value.ts";

export interface SessionMemory {
  /** By `SET`, in force for the session. */
  readonly settings: readonly (readonly [name: string, value: string])[];
  readonly statements: readonly PreparedStatement[];
  /** Channels of `LISTEN`. */
  readonly channels: readonly string[];
  /** What no other session can be given, in words that follow "it has". */
  readonly unmovable: readonly string[];
}

/** One that has a name. */
export interface PreparedStatement {
  readonly name: string;
  readonly text: string;
  /** Whether it was made by `PREPARE`; else by the protocol's Parse. */
  readonly bySql: boolean;
  /** Ids of the types of its parameters. */
  readonly types: readonly number[];
}

/** Settings of a transaction, which Postgres lists with those of a session; and one told apart. */
const NOT_TOLD =
  "'transaction_isolation', 'transaction_read_only', 'transaction_deferrable', 'statement_timeout'";

/**
 * Outside of a transaction every advisory lock that is held is the session's. Answers one row with
 * one text each, to be read by `parseSessionMemory`. The time that the session gives its statements
 * is put aside first: it may be short.
 */
export const RECALL_SESSION = [
  "show statement_timeout",
  "set statement_timeout = 0",
  `select pg_catalog.json_build_object(
  'settings', (select coalesce(pg_catalog.json_agg(
                        pg_catalog.json_build_array(name, setting)), '[]')
                 from pg_catalog.pg_settings
                where source = 'session' and name not in (${NOT_TOLD})),
  'usual_timeout_ms', (select reset_val::pg_catalog.int4 from pg_catalog.pg_settings
                        where name = 'statement_timeout'),
  'statements', (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
                          name, statement, from_sql,
                          parameter_types::pg_catalog.oid[]::pg_catalog.int8[])), '[]')
                   from pg_catalog.pg_prepared_statements),
  'channels', (select coalesce(pg_catalog.json_agg(channel), '[]')
                 from pg_catalog.pg_listening_channels() channel),
  'unmovable', (select coalesce(pg_catalog.json_agg(what), '[]') from (
    select 'temporary objects' as what
     where pg_catalog.pg_my_temp_schema() <> 0 and (
       exists (select from pg_catalog.pg_class
                where relnamespace = pg_catalog.pg_my_temp_schema())
       or exists (select from pg_catalog.pg_proc
                   where pronamespace = pg_catalog.pg_my_temp_schema()))
    union all
    select 'an open cursor' where exists (select from pg_catalog.pg_cursors)
    union all
    select 'advisory locks'
     where exists (select from pg_catalog.pg_locks
                    where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid())
    union all
    select 'another role' where current_user <> session_user) kept)
)`,
];

type Told = [name: string, text: string, bySql: boolean, types: number[]];

/** Reads the rows that `RECALL_SESSION` answers. Throws when they are something else. */
export function parseSessionMemory([timeout = "", kept = ""]: readonly string[]): SessionMemory {
  const told = JSON.parse(kept) as {
    readonly settings: [string, string][];
    readonly usual_timeout_ms: number;
    readonly statements: Told[];
    readonly channels: string[];
    readonly unmovable: string[];
  };
  const statements = told.statements.map(([name, text, bySql, types]) => {
    return { name, text, bySql, types };
  });
  const bound = statements.some((each) => each.bySql && !isOnePrepare(each.text));
  const unmovable = [...told.unmovable, ...(bound ? ["statements prepared among others"] : [])];
  // Where it is what the server gives every session, the next one gives what is usual then.
  const isUsual = msOf(timeout) === told.usual_timeout_ms;
  const own = isUsual ? [] : [["statement_timeout", timeout] as const];
  const settings = [...told.settings, ...own];
  return { settings, statements, channels: told.channels, unmovable };
}

/** Of a time as `SHOW` writes it. */
function msOf(text: string): number {
  const [, count = text, unit = "ms"] = /^(\d+)([a-z]+)$/.exec(text) ?? [];
  return Number(count) * (UNIT_MS[unit] ?? Number.NaN);
}

/**
 * Of `PREPARE` Postgres keeps all that was sent with it: only where that is the one statement can
 * it be said again.
 */
function isOnePrepare(text: string): boolean {
  return /^\s*prepare\s[^;]*(?:;\s*)?$/i.test(text);
}

/** SQL that gives a session that was just opened the settings, channels and `PREPARE`s. */
export function restoreSession({ settings, channels, statements }: SessionMemory): string[] {
  const set = ([name, value]: readonly [string, string]) =>
    `select pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false)`;
  return [
    ...settings.filter(([name]) => !isTimeout(name)).map(set),
    ...channels.map((channel) => `listen ${quoteIdentifier(channel)}`),
    ...statements.filter(({ bySql }) => bySql).map(({ text }) => text),
    // Last, lest a short one strikes here.
    ...settings.filter(([name]) => isTimeout(name)).map(set),
  ];
}

function isTimeout(name: string): boolean {
  return name.endsWith("_timeout");
}

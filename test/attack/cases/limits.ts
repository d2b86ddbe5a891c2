/** Numbers and names that are too large, and the most that one tenant may take. */
import type pg from "pg";
import { BOTH, DENIED, family, type Scene } from "../attack-case.ts";
import { codeOf, inNewSession } from "../attempt.ts";

/** Opens sessions until one is refused. */
async function crowd({ attacker, walled }: Scene): Promise<string> {
  const sessions: pg.Client[] = [];
  try {
    for (let opened = 0; opened <= attacker.desired.connectionLimit; opened += 1) {
      sessions.push(await attacker.connect());
    }
    return "done";
  } catch (error) {
    return codeOf(error);
  } finally {
    await Promise.all(sessions.map((session) => session.end()));
    await walled.root.query("select 1");
  }
}

export const LIMITS = family(
  "limits",
  { models: BOTH },
  {
    connections: { attack: crowd, safe: ["53300"] },
    temporary_files: {
      attack: (scene) =>
        inNewSession(scene, "select where current_setting('temp_file_limit') = '512MB'"),
      models: ["schema"],
      safe: ["some"],
    },
    temporary_files_at_start: {
      attack: (scene) => inNewSession(scene, "select 1", { options: "-c temp_file_limit=-1" }),
      safe: [DENIED],
    },
    temporary_files_of_role: {
      attack: "alter role {self} set temp_file_limit = -1",
    },
    temporary_files_in_database: {
      attack: "alter role {self} in database aerodb set temp_file_limit = -1",
    },
    integer: { attack: "select 2147483648::int", safe: ["22003"] },
    big_integer: { attack: "select 9223372036854775807 + 1", safe: ["22003"] },
    sequence: {
      attack: "create sequence last maxvalue 2; select nextval('last') from generate_series(1, 3)",
      safe: ["2200H"],
    },
    huge_row: { attack: "select repeat('a', 1073741824)", safe: ["54000"] },
    huge_array: { attack: "select array_fill(1, array[1073741824])", safe: ["54000"] },
    deep_recursion: {
      attack: `create function down() returns int language plpgsql as
        $$ begin return down(); end $$; select down()`,
      safe: ["54001"],
    },
    deep_expression: {
      attack: `select ${"(".repeat(20_000)}1${")".repeat(20_000)}`,
      safe: ["42601", "54001", "some"],
    },
    many_columns: {
      attack: `do $$ begin execute (select format('create table wide (%s)',
        string_agg('c' || n || ' int', ',')) from generate_series(1, 1700) n); end $$`,
      safe: ["54011"],
    },
    long_names_collide: {
      attack: `create table ${"a".repeat(64)}b (i int); create table ${"a".repeat(64)}c (i int)`,
      safe: ["42P07"],
    },
    long_role_name: {
      attack: `set role ${"a".repeat(80)}`,
      safe: ["22023"],
    },
    upper_case_name: {
      attack: 'set role "AERODB_ROOT"',
      safe: ["22023"],
    },
    full_width_name: {
      attack: 'set role "\uff41erodb_root"',
      safe: ["22023"],
    },
    escaped_name: { attack: 'set role U&"\\0061erodb_root"', safe: [DENIED] },
    name_with_nul: { attack: "select convert_from('\\x00'::bytea, 'UTF8')", safe: ["22021"] },
    broken_encoding: { attack: "select convert_from('\\xc0af'::bytea, 'UTF8')", safe: ["22021"] },
    big_notification: {
      attack: "select pg_notify('news', repeat('a', 8000))",
      safe: ["22023"],
    },
    unfinished_notification: {
      attack: "select pg_notify(repeat('a', 64), '')",
      safe: ["22023"],
    },
    statement_memory: { attack: "set work_mem = '3TB'", safe: ["22023"] },
  },
);

/** The server, its host, its files and its settings. */
import { CLOSED_FUNCTIONS } from "../../../packages/postgres/src/public-functions.ts";
import { BOTH, DENIED, family } from "../attack-case.ts";

export const FILES = family(
  "files",
  { models: BOTH },
  {
    read: "select pg_read_file('/etc/passwd')",
    read_own: "select pg_read_file('PG_VERSION')",
    read_binary: "select pg_read_binary_file('global/pg_control')",
    list: "select pg_ls_dir('/')",
    list_logs: "select pg_ls_logdir()",
    list_wal: "select pg_ls_waldir()",
    list_temporary: "select pg_ls_tmpdir()",
    list_archive: "select pg_ls_archive_statusdir()",
    list_snapshots: "select pg_ls_logicalsnapdir()",
    examine: "select pg_stat_file('/etc/passwd')",
    copy_from_file: "copy {self}.t from '/etc/passwd'",
    copy_to_file: "copy (select 1) to '/tmp/planted'",
    copy_to_program: "copy (select 1) to program 'id'",
    copy_from_program: "copy {self}.t from program 'id'",
    large_object_import: "select lo_import('/etc/passwd')",
    large_object_import_as: "select lo_import('/etc/passwd', 4711)",
    large_object_export: "select lo_export({large_object}, '/tmp/planted')",
    tablespace: { attack: "create tablespace lair location '/tmp'", alone: true },
    tablespace_in_place: {
      attack: "create tablespace lair location ''",
      alone: true,
    },
    admission_rules: "select * from pg_hba_file_rules",
    identity_maps: "select * from pg_ident_file_mappings",
    settings_of_file: "select * from pg_file_settings",
    where_data_is: "show data_directory",
    where_sockets_are: "show unix_socket_directories",
    where_admission_is: "show hba_file",
    where_log_is: { attack: "select pg_current_logfile()" },
    where_table_is: { attack: "select pg_relation_filepath('{self}.t')", models: ["schema"] },
  },
);

export const CODE = family(
  "code",
  { models: BOTH },
  {
    load: "load '/tmp/evil.so'",
    load_from_server: "load '$libdir/plpgsql'",
    function_in_c: `create function run(cstring) returns int language c
      as '/lib/libc.so.6', 'system'`,
    function_in_c_of_server: `create function run() returns int language c
      as '$libdir/plpgsql', 'plpgsql_call_handler'`,
    function_in_sql: {
      attack: "create function own() returns int language sql as 'select 1'",
      safe: ["done"],
    },
    function_in_internal: "create function run() returns int language internal as 'pg_backend_pid'",
    language: {
      attack: "create language plpython3u",
      safe: [DENIED, "0A000", "58P01"],
    },
    language_by_hand: "create language spy handler plpgsql_call_handler",
    trust_language: "alter language plpgsql owner to {self}",
    access_method: "create access method spy type index handler bthandler",
    event_trigger: `create function spy() returns event_trigger language plpgsql
      as 'begin end'; create event trigger spy on ddl_command_end execute function spy()`,
    foreign_wrapper: "create foreign data wrapper spy",
    foreign_server: {
      attack: "create server spy foreign data wrapper postgres_fdw",
      safe: [DENIED, "42704"],
    },
    foreign_table: {
      attack: "create foreign table spy (i int) server spy",
      safe: [DENIED, "42704"],
    },
    import_schema: {
      attack: "import foreign schema spy from server spy into {self}",
      safe: [DENIED, "42704"],
    },
    text_search_parser: `create text search parser spy
      (start = prsd_start, gettoken = prsd_nexttoken,
      end = prsd_end, lextypes = prsd_lextype)`,
    text_search_template: "create text search template spy (lexize = dsimple_lexize)",
    text_search_dictionary_file: {
      attack: `create text search dictionary spy
        (template = ispell, dictfile = '../../../../etc/passwd', afffile = 'x')`,
      safe: ["22023", "F0000", DENIED],
    },
    security_label: {
      attack: "security label on table {self}.t is 'mine'",
      safe: ["22023"],
    },
    transform: {
      attack:
        "create transform for int language plpgsql (from sql with function prsd_start(internal))",
      safe: [DENIED, "42883", "42P17"],
    },
  },
);

const missing = [DENIED, "0A000", "58P01", "22023"];

export const EXTENSIONS = family(
  "extensions",
  { models: BOTH, safe: missing },
  {
    dblink: "create extension dblink",
    postgres_fdw: "create extension postgres_fdw",
    file_fdw: "create extension file_fdw",
    adminpack: "create extension adminpack",
    pageinspect: "create extension pageinspect",
    statements: "create extension pg_stat_statements",
    buffers: "create extension pg_buffercache",
    visibility: "create extension pg_visibility",
    surgery: "create extension pg_surgery",
    amcheck: "create extension amcheck",
    python: "create extension plpython3u",
    perl: "create extension plperlu",
    cascade: "create extension earthdistance schema extensions cascade",
    version: "create extension dblink version '1.0'",
    path: 'create extension "../../../tmp/evil"',
    trusted_without_right: { attack: "create extension hstore", models: ["schema"] },
    drop_plpgsql: { attack: "drop extension plpgsql", safe: [DENIED] },
    update_plpgsql: { attack: "alter extension plpgsql update", safe: [DENIED] },
    add_to_extension: {
      attack: "alter extension plpgsql add table {self}.t",
      safe: [DENIED],
    },
    move_extension: {
      attack: "alter extension plpgsql set schema {self}",
      safe: [DENIED, "0A000"],
    },
    guard_off: { attack: "alter event trigger aerodb_extensions disable", safe: [DENIED] },
    guard_gone: { attack: "drop event trigger aerodb_extensions", safe: [DENIED] },
    guard_function: {
      attack: "drop function extensions.refuse_unlisted() cascade",
      safe: [DENIED],
    },
  },
);

/** Whether it may execute a function that is closed, whatever that takes. */
const CLOSED = Object.fromEntries(
  CLOSED_FUNCTIONS.map(({ name }) => [
    `closed_${name}`,
    {
      attack: `select from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace
        and p.proname = '${name}' and has_function_privilege(p.oid, 'execute')`,
      models: ["schema"] as const,
      safe: ["none"],
    },
  ]),
);

export const SERVER = family(
  "server",
  { models: BOTH },
  {
    reload: "select pg_reload_conf()",
    rotate_log: "select pg_rotate_logfile()",
    checkpoint: "checkpoint",
    switch_wal: "select pg_switch_wal()",
    restore_point: "select pg_create_restore_point('lair')",
    backup: "select pg_backup_start('lair')",
    promote: "select pg_promote()",
    pause_replay: "select pg_wal_replay_pause()",
    physical_slot: "select pg_create_physical_replication_slot('lair')",
    logical_slot: "select pg_create_logical_replication_slot('lair', 'pgoutput')",
    drop_slot: "select pg_drop_replication_slot('lair')",
    read_slot: "select pg_logical_slot_get_changes('lair', null, null)",
    replication_origin: "select pg_replication_origin_create('lair')",
    publication: { attack: "create publication lair", models: ["schema"] },
    publish_all: "create publication lair for all tables",
    publish_schema: "create publication lair for tables in schema {self}",
    subscription: {
      attack: "create subscription lair connection 'host=127.0.0.1' publication p",
      alone: true,
    },
    // Refused before the server asks who wants it, where settings come from the platform alone.
    alter_system: {
      attack: "alter system set log_statement = 'all'",
      alone: true,
      safe: [DENIED, "0A000"],
    },
    alter_system_reset: { attack: "alter system reset all", alone: true, safe: [DENIED, "0A000"] },
    prepared_transaction: {
      attack: "begin; prepare transaction 'lair'",
      alone: true,
      safe: ["55000"],
    },
    set_log_statement: "set log_statement = 'all'",
    set_log_messages: "set log_min_messages = 'debug5'",
    set_log_errors: "set log_min_error_statement = 'error'",
    set_log_duration: "set log_min_duration_statement = 0",
    set_triggers_off: "set session_replication_role = replica",
    set_event_triggers_off: { attack: "set event_triggers = off", since: 17 },
    set_catalogue_writable: "set allow_system_table_mods = on",
    set_zero_pages: "set zero_damaged_pages = on",
    set_checksums_ignored: "set ignore_checksum_failure = on",
    set_large_objects_open: "set lo_compat_privileges = on",
    set_temporary_files: "set temp_file_limit = -1",
    set_stack_depth: "set max_stack_depth = '1GB'",
    set_library_path: "set dynamic_library_path = '/tmp'",
    set_tablespaces: "set allow_in_place_tablespaces = on",
    set_counting_off: "set track_counts = off",
    set_activity_off: "set track_activities = off",
    set_preload: "set session_preload_libraries = 'evil'",
    set_jit_provider: { attack: "set jit_provider = 'evil'", safe: ["55P02"] },
    set_archive: { attack: "set archive_command = 'id'", safe: ["55P02"] },
    set_memory: { attack: "set shared_buffers = '1TB'", safe: ["55P02"] },
    set_conflicts: "set plpgsql.variable_conflict = use_column",
    reset_statistics: "select pg_stat_reset()",
    reset_shared_statistics: "select pg_stat_reset_shared('wal')",
    reset_table_statistics: "select pg_stat_reset_single_table_counters('{self}.t'::regclass)",
    memory_of_server: "select * from pg_shmem_allocations",
    memory_of_process: "select * from pg_backend_memory_contexts",
    build_of_server: "select * from pg_config",
    import_collations: "select pg_import_system_collations('{self}')",
    wal_position: { attack: "select pg_current_wal_lsn()", models: ["schema"] },
    wal_statistics: { attack: "select * from pg_stat_wal", models: ["schema"] },
    wal_message: { attack: "select pg_logical_emit_message(false, 'a', 'b')", models: ["schema"] },
    control_file: { attack: "select pg_control_system()", models: ["schema"] },
    checkpoint_of_control_file: {
      attack: "select pg_control_checkpoint()",
      models: ["schema"],
    },
    ...CLOSED,
    no_such_function: {
      attack: "select pg_execute_server_program('id')",
      safe: ["42883"],
    },
  },
);

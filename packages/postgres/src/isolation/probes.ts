/**
 * What a tenant tries when its walls are proven, as data: statements that only the platform wrote,
 * that touch its canary and the server and nothing of any tenant, and what each must come to. None
 * writes anything where it is refused.
 */
import { PLATFORM_SCHEMA, POOL_ROLE, ROOT_ROLE, TENANTS_ROLE } from "../names.ts";
import { CANARY, CANARY_TABLE } from "./canary.ts";
import type { RulePlace } from "./rule.ts";

/** What proofs at run time are counted under, like the rules of the catalogue. */
export const RUNTIME_RULES = [
  {
    id: "runtime.identity",
    subject: "attempts",
    sentence: "The tenant is who it is, and a forged tag makes it nobody.",
  },
  {
    id: "runtime.rows",
    subject: "attempts",
    sentence: "The tenant can neither read nor change a neighbour's rows.",
  },
  {
    id: "runtime.objects",
    subject: "attempts",
    sentence: "The tenant can use nothing else that is a neighbour's.",
  },
  {
    id: "runtime.roles",
    subject: "attempts",
    sentence: "The tenant can become nobody else and raise nobody's rights.",
  },
  {
    id: "runtime.server",
    subject: "attempts",
    sentence: "The tenant reaches neither files nor programs nor settings of the server.",
  },
] as const;

export type RuntimeRuleId = (typeof RUNTIME_RULES)[number]["id"];

export interface Probe {
  readonly rule: RuntimeRuleId;
  readonly name: string;
  readonly place: RulePlace;
  /** The oldest major that it can be tried on; all when left out. */
  readonly since?: number;
  /** One statement; `self` is a name as SQL text. */
  readonly sql: (self: string) => string;
  /** A SQLSTATE, `none` for no row, `some` for at least one. */
  readonly expected: string;
}

/** What whoever lacks a right is told. */
export const REFUSED = "42501";
/** Raised by probes of more than one statement, so that what they set is undone. */
const SAW_NOTHING = "AE000";
const kept = `${CANARY}.kept`;
const shown = `${PLATFORM_SCHEMA}.${CANARY_TABLE}`;
/** By an index, of however many there are. */
const largeObject =
  "(select d.objid from pg_catalog.pg_shdepend d " +
  "where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass " +
  "and d.classid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass " +
  `and d.refobjid = '${CANARY}'::pg_catalog.regrole limit 1)`;

type Attempt = readonly [name: string, sql: string];

function refused(
  rule: RuntimeRuleId,
  place: RulePlace,
  attempts: readonly Attempt[],
): readonly Probe[] {
  return attempts.map(([name, sql]) => ({ rule, place, name, sql: () => sql, expected: REFUSED }));
}

const FORGED =
  "do $forged$ begin " +
  `perform pg_catalog.set_config('app.tenant_id', '${CANARY}', true); ` +
  `perform from ${shown}; ` +
  `raise exception using errcode = case when found then 'AE001' else '${SAW_NOTHING}' end; ` +
  "end $forged$";

const IDENTITY: readonly Probe[] = [
  {
    rule: "runtime.identity",
    name: "be itself",
    place: "shared",
    sql: (self) => `select where ${PLATFORM_SCHEMA}.current_tenant() = ${self}`,
    expected: "some",
  },
  {
    rule: "runtime.identity",
    name: "read as the tenant that a forged tag names",
    place: "shared",
    sql: () => FORGED,
    expected: SAW_NOTHING,
  },
];

const ROWS: readonly Probe[] = [
  {
    rule: "runtime.rows",
    name: "read past a policy",
    place: "shared",
    sql: () => `select from ${shown}`,
    expected: "none",
  },
  ...refused("runtime.rows", "shared", [
    ["write past a policy", `insert into ${shown} values (2, 'mine')`],
    ["change what a policy hides", `update ${shown} set note = 'mine'`],
    ["select", `select from ${kept}`],
    ["select through a view", `select from ${CANARY}.seen`],
    ["insert", `insert into ${kept} values (2, 'mine')`],
    ["update", `update ${kept} set note = 'mine'`],
    ["delete", `delete from ${kept}`],
    ["truncate", `truncate ${kept}`],
    ["lock", `lock table ${kept} in access share mode nowait`],
    ["refer to", `select pg_catalog.has_table_privilege('${kept}', 'references')`],
    ["copy the shape", `create temporary table probe (like ${kept})`],
    ["switch row security off", `alter table ${kept} disable row level security`],
    ["drop", `drop table ${kept}`],
  ]),
];

const OBJECTS: readonly Probe[] = refused("runtime.objects", "shared", [
  ["count on", `select pg_catalog.nextval('${CANARY}.counted')`],
  ["set a sequence", `select pg_catalog.setval('${CANARY}.counted', 7)`],
  ["execute", `select ${CANARY}.called()`],
  ["use a type", `select null::${CANARY}.shaped`],
  ["read a large object", `select pg_catalog.lo_get(${largeObject})`],
  ["write a large object", `select pg_catalog.lo_put(${largeObject}, 0, 'mine')`],
  ["remove a large object", `select pg_catalog.lo_unlink(${largeObject})`],
  ["read all large objects", "select data from pg_catalog.pg_largeobject"],
  ["create in the schema", `create function ${CANARY}.probe() returns int return 1`],
  ["create in public", "create function public.probe() returns int return 1"],
  [
    "create in the platform's schema",
    `create function ${PLATFORM_SCHEMA}.probe() returns int return 1`,
  ],
  ["create a schema", "create schema probe"],
  ["see neighbours' locks", "select pg_catalog.pg_lock_status()"],
]);

const ROLES: readonly Probe[] = [
  ...refused("runtime.roles", "both", [
    ["become the superuser", `set local role ${ROOT_ROLE}`],
    ["make itself superuser", "alter role current_user superuser"],
    ["bypass row security", "alter role current_user bypassrls"],
    ["create a role", "create role probe"],
    ["read passwords", "select rolpassword from pg_catalog.pg_authid"],
    ["join those who read files", "grant pg_read_server_files to current_user"],
  ]),
  ...refused("runtime.roles", "shared", [
    ["become a neighbour", `set local role ${CANARY}`],
    ["become the login of pooled requests", `set local role ${POOL_ROLE}`],
    ["join a neighbour", `grant ${CANARY} to current_user`],
    ["change a neighbour's role", `alter role ${CANARY} login`],
  ]),
  ...refused("runtime.roles", "shared", [
    ["become the group of all tenants", `set local role ${TENANTS_ROLE}`],
  ]).map((probe) => ({ ...probe, since: 16 })),
];

const SERVER: readonly Probe[] = [
  ...refused("runtime.server", "both", [
    ["read a file", "select pg_catalog.pg_read_file('PG_VERSION')"],
    ["list a directory", "select pg_catalog.pg_ls_dir('.')"],
    ["import a file", "select pg_catalog.lo_import('/etc/hostname')"],
    ["write a file", "copy (select 1) to '/dev/null'"],
    ["run a program", "copy (select 1) to program 'true'"],
    ["read who may come in", "select from pg_catalog.pg_hba_file_rules"],
    ["load a library", "load '$libdir/plpgsql'"],
    ["switch triggers off", "set local session_replication_role = 'replica'"],
    ["make an event trigger", "create event trigger probe on sql_drop execute function probe()"],
    ["install an extension", "create extension file_fdw"],
    ["reload the configuration", "select pg_catalog.pg_reload_conf()"],
  ]),
  ...refused("runtime.server", "shared", [
    ["spill without limit", "set local temp_file_limit = '-1'"],
  ]),
];

export const PROBES: readonly Probe[] = [...IDENTITY, ...ROWS, ...OBJECTS, ...ROLES, ...SERVER];

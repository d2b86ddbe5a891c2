/**
 * What is taken away to see that it was needed: all that breaks a rule of the proof, and each part
 * of what keeps tenants apart by itself. Whoever adds to either says here what is to be known of it
 * beyond that.
 */
import { poolLogin } from "@aerodb/postgres";
import type { Breach, BreachTarget } from "../../packages/postgres/src/isolation/sample-breach.ts";
import { BREACHES } from "../../packages/postgres/src/isolation/sample-breaches.ts";
import { CLOSED_FUNCTIONS } from "../../packages/postgres/src/public-functions.ts";
import { ROOT_PASSWORD } from "../../packages/postgres/src/throwaway-instance.ts";
import { requestKey, WALL_FUNCTIONS } from "../../packages/postgres/src/wall-functions.ts";
import { TRIGGERS_EVERYWHERE, WALL_TRIGGERS } from "../../packages/postgres/src/wall-triggers.ts";
import { WRITES_FUNCTIONS } from "../../packages/postgres/src/writes-wall.ts";

/** A defence that is taken away by what breaks a rule. */
export interface Defence extends Breach {
  /** The rule, and what of it where there are several. */
  readonly name: string;
  /** The case that notices; looked for among all when left out. */
  readonly noticed?: string;
  /** Whether the attacker is who the breach is about, and not its neighbour. */
  readonly ofAttacker?: true;
  /**
   * What stands before it and is taken away first, where each would do by itself: with the one that
   * is left the attack still fails.
   */
  readonly before?: (target: BreachTarget) => string;
  /** What puts that back which dropping the tenants does not. */
  readonly beforeUndone?: () => Promise<string>;
  /** Why no attack can notice: by itself it opens nothing, and the proof does not wait. */
  readonly proofOnly?: string;
  /** What is different where the attacker has a server of its own. */
  readonly inOwnServer?: Pick<Defence, "proofOnly" | "noticed">;
  /** The first major that it can be taken away on. */
  readonly since?: number;
}

type Known = Omit<Defence, keyof Breach | "name">;

const schemaOpen = ({ self, neighbour }: BreachTarget) =>
  `grant usage on schema ${self} to ${neighbour};`;
const tableGranted = ({ self, neighbour }: BreachTarget) =>
  `grant select on ${self}.t to ${neighbour};`;
const rowsOpen = ({ self }: BreachTarget) => `alter table ${self}.t disable row level security;`;
const both =
  (...steps: readonly ((target: BreachTarget) => string)[]) =>
  (target: BreachTarget) =>
    steps.map((step) => step(target)).join("\n");

const OPENS_NOTHING = "what is there is the platform's, and nobody was given a right to it";
const LISTED = "every extension of these engines that Postgres trusts is on the list";

const KNOWN: Readonly<Record<string, Known>> = {
  "instance.functions": {
    noticed: "neighbours.open_door",
    inOwnServer: { noticed: "writes.disable_trigger" },
  },
  "runtime.server": { noticed: "server.reload" },
  "runtime.roles": { noticed: "roles.verifiers" },
  "runtime.objects": { noticed: "objects.canary_large_object" },
  "runtime.rows": { noticed: "policies.update" },
  "runtime.identity": { noticed: "identity.set" },
  "instance.public_schema": { noticed: "objects.use_public" },
  "instance.closed_functions": { noticed: "server.wal_position" },
  "instance.catalogue": { noticed: "files.list_wal" },
  "instance.languages 2": { noticed: "code.function_in_c_of_server" },
  "instance.languages": { noticed: "code.function_in_sql" },
  "instance.hba": { noticed: "roles.login_as_root" },
  "instance.parameters": { noticed: "server.set_log_statement" },
  "instance.settings": { noticed: "roles.row_security_by_default" },
  "instance.grants": { noticed: "files.list_wal" },
  "instance.memberships": { noticed: "roles.cancel_meter" },
  "instance.event_triggers": { noticed: "walls.create_table" },
  "privilege.large_objects": { noticed: "objects.large_object_read" },
  "role.present": { noticed: "server.reset_table_statistics", ofAttacker: true },
  "role.attributes": { noticed: "roles.make_database", ofAttacker: true },
  "role.memberships": { noticed: "roles.cancel_meter", ofAttacker: true },
  "role.members": { noticed: "roles.meter_becomes_tenant", ofAttacker: true },
  "role.door": {
    noticed: "neighbours.door",
    beforeUndone: async () => requestKey((await poolLogin(ROOT_PASSWORD)).keyHash),
    before: () =>
      `create or replace function aerodb.request_key() returns bytea language sql immutable
         parallel safe return pg_catalog.sha256(pg_catalog.convert_to('guess', 'UTF8'))`,
  },
  "role.settings": { noticed: "limits.temporary_files", ofAttacker: true },
  "role.settings 2": { noticed: "identity.is_itself", ofAttacker: true },
  "role.settings 3": { noticed: "roles.triggers_by_default", ofAttacker: true },
  "role.connections": { noticed: "limits.connections", ofAttacker: true },
  "ownership.schema": {
    noticed: "grants.schema_to_public",
    inOwnServer: { proofOnly: "there it may make schemas of its own" },
    ofAttacker: true,
  },
  "ownership.inside": { proofOnly: OPENS_NOTHING },
  "ownership.elsewhere": {
    proofOnly: "it was put there by the platform, and its owner can give it to nobody",
  },
  "ownership.cluster": { noticed: "roles.database_search_path", ofAttacker: true },
  "table.row_security": { noticed: "rows.select", before: both(schemaOpen, tableGranted) },
  "table.policy": {
    proofOnly: "without any policy nobody but the owner sees a row: what fails, fails closed",
  },
  "table.permissive": { noticed: "rows.select", before: both(schemaOpen, tableGranted) },
  "view.invoker": {
    noticed: "rows.view",
    before: both(schemaOpen, ({ self, neighbour }) => `grant select on ${self}.v to ${neighbour}`),
  },
  "view.materialized": { proofOnly: "one that a tenant makes holds only what it sees itself" },
  "shared_tables.objects": { proofOnly: OPENS_NOTHING },
  "shared_tables.objects 2": { proofOnly: OPENS_NOTHING },
  "shared_tables.owner": { proofOnly: OPENS_NOTHING },
  "shared_tables.tenant_id": { noticed: "shared.probe_unique" },
  "shared_tables.keys": { noticed: "shared.probe_unique" },
  "shared_tables.keys 2": { noticed: "shared.plan_by_equality" },
  "shared_tables.references": { noticed: "shared.probe_unique" },
  "shared_tables.policy": { proofOnly: "it binds the owner, which nobody can become" },
  "shared_tables.policy 2": { noticed: "shared.read" },
  "shared_tables.policy 3": { noticed: "shared.plan_by_range" },
  "shared_tables.grants": { noticed: "shared.truncate" },
  "shared_tables.grants 2": { proofOnly: "of the rows that a tenant sees it may read all anyway" },
  "shared_tables.statistics": { proofOnly: "plans tell values only once the table is analysed" },
  "instance.shared_tables 2": { noticed: "shared.read" },
  "instance.platform_schemas 2": { noticed: "shared.make_table" },
  "instance.roles 2": { proofOnly: "nobody can log in as it, or become it" },
  "table.writes": { noticed: "writes.own_table", ofAttacker: true },
  "role.memberships 2": { proofOnly: "it takes a right away" },
  "instance.large_objects": { proofOnly: "the meter has it, and nobody can become the meter" },
  "instance.large_objects 2": { proofOnly: "the meter has it, and nobody can become the meter" },
  "instance.writing_functions": { noticed: "writes.large_object_put" },
  "table.foreign": { proofOnly: "a wrapper without a library leads nowhere" },
  "routine.definer": { noticed: "objects.function", before: schemaOpen },
  "privilege.relations": { noticed: "rows.select", before: both(schemaOpen, rowsOpen) },
  "privilege.columns": { noticed: "rows.column", before: both(schemaOpen, rowsOpen) },
  "privilege.sequences": { noticed: "objects.sequence_next", before: schemaOpen },
  "privilege.routines": {
    noticed: "objects.function",
    before: both(
      schemaOpen,
      tableGranted,
      ({ self }) => `revoke execute on function ${self}.f() from public`,
    ),
  },
  "privilege.types": {
    noticed: "objects.type",
    before: both(
      schemaOpen,
      ({ self }) => `revoke usage on type ${self}.y from public;`,
      () => "alter event trigger aerodb_dependencies disable",
    ),
    beforeUndone: async () => "alter event trigger aerodb_dependencies enable",
  },
  "privilege.schema": { noticed: "rows.select", before: both(tableGranted, rowsOpen) },
  "privilege.defaults": { noticed: "grants.made_later", ofAttacker: true },
  "privilege.elsewhere": { noticed: "files.list_wal", ofAttacker: true },
  "instance.event_triggers 2": { proofOnly: LISTED },
  "instance.functions 2": { proofOnly: LISTED },
  "instance.functions 3": { proofOnly: "its source names all in full" },
  "instance.functions 4": { proofOnly: OPENS_NOTHING },
  "instance.databases": { noticed: "roles.database_grant" },
  "instance.foreign": { proofOnly: OPENS_NOTHING },
  "instance.roles": { proofOnly: "nobody can log in as it, or become it" },
  "instance.strays": {
    proofOnly: "no tenant can add to them, and what a superuser adds may be any",
  },
  "instance.strays 2": {
    proofOnly: "no tenant can add to them, and what a superuser adds may be any",
  },
  "instance.extensions": { noticed: "extensions.amcheck" },
  "instance.extension_owners": { noticed: "extensions.drop_plpgsql", ofAttacker: true },
  "instance.schemas": { proofOnly: OPENS_NOTHING },
  "instance.platform_schemas": { proofOnly: "tenants may use it, and nobody else can log in" },
  "instance.shared_tables": { proofOnly: OPENS_NOTHING },
  "instance.default_privileges": { proofOnly: "it opens what the platform makes later" },
  "instance.tablespaces": { proofOnly: "everybody may use the tablespace of the database" },
};

const triggers = WALL_TRIGGERS.flatMap((statement) => {
  const [, name] = /^create event trigger (\w+) /.exec(statement) ?? [];
  return name === undefined ? [] : [name];
});
const functions = [...WALL_FUNCTIONS, ...WRITES_FUNCTIONS].flatMap((statement) => {
  const [head] = /^create or replace function .*(?= as \$wall\$)/.exec(statement) ?? [];
  const [, name = "", returns = ""] = /\.(\w+)\(.*\) returns ([\w[\]]+)/.exec(head ?? "") ?? [];
  return head === undefined ? [] : [{ head, name, returns, statement }];
});
/** What a function answers that does nothing. */
const IDLE: Readonly<Record<string, string>> = {
  void: "begin end",
  trigger: "begin return null; end",
  boolean: "begin return false; end",
  "oid[]": "begin return array[1::oid]; end",
};

const onCanary = (policy: string) => ({
  rule: "runtime.identity",
  also: ["runtime.rows"],
  place: "shared" as const,
  done: () => `create policy wide on aerodb.canary ${policy}`,
  undone: () => "drop policy wide on aerodb.canary",
});

/** Which attack each event trigger and each function is against. */
const AGAINST: Readonly<Record<string, string>> = {
  aerodb_relations: "walls.create_table",
  aerodb_policies: "walls.widen_policy",
  aerodb_dropped_policies: "walls.drop_policy",
  aerodb_dropped_doors: "neighbours.give_to_group_without_door",
  aerodb_routines: "grants.definer_function",
  aerodb_grants: "grants.table_to_public",
  aerodb_writes_started: "writes.comment",
  aerodb_writes_rewritten: "writes.rewrite",
  aerodb_writes_loosened: "writes.default_of_rows",
  aerodb_writes_guarded: "writes.disable_trigger",
  aerodb_writes_dropped: "writes.drop_trigger",
  writes_refused: "writes.comment",
  refuse_full: "writes.insert",
  accepts_writes: "writes.shared_table",
  refuse_write: "writes.insert",
  right_guards: "writes.disable_trigger",
  keep_writes: "writes.made_before",
  refuse: "grants.table_to_public",
  right_policies: "walls.create_table",
  keep_relation: "walls.create_table",
};
const against = (part: string) => {
  const noticed = AGAINST[part];
  return noticed === undefined ? {} : { noticed };
};

/** Each part by itself. */
const PARTS: readonly Defence[] = [
  ...triggers.map(
    (trigger): Defence => ({
      ...against(trigger),
      name: `event trigger ${trigger}`,
      rule: "instance.event_triggers",
      place: TRIGGERS_EVERYWHERE.includes(trigger.replace(/^aerodb_/, "")) ? "both" : "shared",
      done: () => `alter event trigger ${trigger} disable`,
      undone: () => `alter event trigger ${trigger} enable`,
    }),
  ),
  ...functions.map(
    ({ head, name, returns, statement }): Defence => ({
      ...against(name),
      name: `function ${name}`,
      rule: "instance.functions",
      place: WRITES_FUNCTIONS.includes(statement) && name !== "accepts_writes" ? "both" : "shared",
      done: () => `${head} as $$ ${IDLE[returns]} $$`,
      undone: () => statement,
      ...(name === "reads_shared" ? { proofOnly: "it takes a table that tenants share" } : {}),
    }),
  ),
  ...CLOSED_FUNCTIONS.map(({ name, since = 0 }): Defence => {
    const each = (change: string) => `do $$ declare it regprocedure; begin
      for it in select oid from pg_catalog.pg_proc where proname = '${name}' and pronamespace = 11
      loop execute pg_catalog.format('${change}', it); end loop; end $$`;
    return {
      name: `closed function ${name}`,
      rule: "instance.closed_functions",
      place: "shared",
      since,
      noticed: `server.closed_${name}`,
      done: () => each("grant execute on function %s to public"),
      undone: () => each("revoke execute on function %s from public"),
    };
  }),
  { name: "policy of a shared table", noticed: "identity.untouched", ...onCanary("using (true)") },
  {
    name: "row level security of a shared table",
    noticed: "identity.untouched",
    rule: "instance.shared_tables",
    also: ["runtime.identity", "runtime.rows"],
    place: "shared",
    done: () => "alter table aerodb.canary disable row level security",
    undone: () => "alter table aerodb.canary enable row level security",
  },
  {
    name: "tenants cannot become their group",
    rule: "role.memberships",
    place: "both",
    ofAttacker: true,
    noticed: "roles.become_group",
    since: 16,
    done: ({ self }) => `grant aerodb_tenants to ${self} with set true`,
  },
  {
    name: "temporary tables are for those whose writes are accepted",
    noticed: "writes.temporary_explained",
    rule: "instance.databases",
    place: "both",
    done: () => "grant temporary on database aerodb to aerodb_tenants",
    undone: () => "revoke temporary on database aerodb from aerodb_tenants",
  },
  {
    name: "tenants cannot create in the database",
    noticed: "neighbours.make_schema",
    rule: "instance.databases",
    place: "shared",
    done: () => "grant create on database aerodb to aerodb_tenants",
    undone: () => "revoke create on database aerodb from aerodb_tenants",
  },
  {
    name: "tenants cannot create in the schema public",
    noticed: "objects.create_in_public",
    rule: "instance.public_schema",
    place: "shared",
    // Without the right to use it, nobody could put on a table there what guards each.
    done: () => "grant usage, create on schema public to public",
    undone: () => "revoke usage, create on schema public from public",
  },
  {
    name: "tenants cannot create in the platform's schema",
    noticed: "objects.create_in_platform",
    rule: "instance.platform_schemas",
    place: "shared",
    done: () => "grant create on schema aerodb to aerodb_tenants",
    undone: () => "revoke create on schema aerodb from aerodb_tenants",
  },
  {
    name: "tenants cannot create in the schema of extensions",
    noticed: "objects.create_in_extensions",
    rule: "instance.platform_schemas",
    place: "shared",
    done: () => "grant create on schema extensions to aerodb_tenants",
    undone: () => "revoke create on schema extensions from aerodb_tenants",
  },
  {
    name: "the login of pooled requests is a member of nothing",
    rule: "role.members",
    place: "shared",
    ofAttacker: true,
    noticed: "neighbours.pool_becomes_tenant",
    done: ({ self }) => `grant ${self} to aerodb_pool`,
  },
];

function named(): readonly Defence[] {
  const seen = new Map<string, number>();
  return BREACHES.map((breach) => {
    const count = (seen.get(breach.rule) ?? 0) + 1;
    seen.set(breach.rule, count);
    const name = count === 1 ? breach.rule : `${breach.rule} ${count}`;
    return { ...breach, ...KNOWN[name], name };
  });
}

export const DEFENCES: readonly Defence[] = [...named(), ...PARTS];

/** Names in the list above of what is not there any more. */
export const UNKNOWN: readonly string[] = Object.keys(KNOWN).filter(
  (name) => !DEFENCES.some((defence) => defence.name === name),
);

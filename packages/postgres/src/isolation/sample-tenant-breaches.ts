/** What breaks rules of one tenant. */
import { ROOT_ROLE } from "../names.ts";
import { type Breach, forEach, largeObjectsOf } from "./sample-breach.ts";

export const TENANT_BREACHES: readonly Breach[] = [
  { rule: "role.present", place: "both", done: ({ self }) => `drop schema ${self} cascade` },
  { rule: "role.attributes", place: "both", done: ({ self }) => `alter role ${self} createdb` },
  {
    rule: "role.memberships",
    place: "both",
    done: ({ self }) => `grant pg_signal_backend to ${self}`,
  },
  {
    rule: "role.memberships",
    place: "both",
    done: ({ self }) => `revoke aerodb_writers from ${self}`,
  },
  {
    rule: "table.writes",
    place: "both",
    done: ({ self }) =>
      forEach(
        `'drop trigger %I on ${self}.t', g.tgname`,
        `pg_catalog.pg_trigger g where g.tgrelid = '${self}.t'::regclass
           and g.tgname ~ '^aerodb_writes'`,
      ),
  },
  { rule: "role.members", place: "both", done: ({ self }) => `grant ${self} to aerodb_meter` },
  {
    rule: "role.door",
    place: "shared",
    done: ({ self }) => `grant execute on function aerodb.${self}(text, text, text[]) to public`,
  },
  {
    rule: "role.settings",
    place: "shared",
    done: ({ self }) => `alter role ${self} set temp_file_limit = '-1'`,
  },
  {
    rule: "role.settings",
    place: "both",
    done: ({ self }) => `alter role ${self} in database aerodb set app.tenant_id = 'other'`,
  },
  {
    rule: "role.settings",
    place: "both",
    done: ({ self }) => `alter role ${self} set session_replication_role = 'replica'`,
  },
  {
    rule: "role.connections",
    place: "both",
    done: ({ self }) => `alter role ${self} connection limit -1`,
  },
  {
    rule: "ownership.schema",
    place: "both",
    done: ({ self }) => `alter schema ${self} owner to ${self}`,
  },
  {
    rule: "ownership.inside",
    place: "both",
    done: ({ self }) => `create sequence ${self}.planted`,
    undone: ({ self }) => `drop sequence ${self}.planted`,
  },
  {
    rule: "ownership.elsewhere",
    place: "shared",
    done: ({ self }) =>
      `create sequence aerodb.strayed; alter sequence aerodb.strayed owner to ${self}`,
  },
  {
    rule: "ownership.cluster",
    also: ["instance.databases"],
    place: "dedicated",
    done: ({ self }) => `alter database aerodb owner to ${self}`,
    undone: () => `alter database aerodb owner to ${ROOT_ROLE}`,
  },
  {
    rule: "table.row_security",
    place: "shared",
    done: ({ self }) => `alter table ${self}.t disable row level security`,
  },
  {
    rule: "table.policy",
    place: "shared",
    done: ({ self }) =>
      forEach(
        `'drop policy %I on ${self}.t', polname`,
        `pg_catalog.pg_policy where polrelid = '${self}.t'::pg_catalog.regclass`,
      ),
  },
  {
    rule: "table.permissive",
    place: "shared",
    done: ({ self }) => `create policy wide on ${self}.t using (true)`,
  },
  {
    rule: "view.invoker",
    place: "shared",
    done: ({ self }) => `alter view ${self}.v reset (security_invoker)`,
  },
  {
    rule: "view.materialized",
    place: "shared",
    done: ({ self }) =>
      `create materialized view ${self}.m as select * from shared.notes;
       alter materialized view ${self}.m owner to ${self}`,
  },
  {
    rule: "table.foreign",
    also: ["instance.foreign"],
    place: "shared",
    done: ({ self }) =>
      `create foreign data wrapper out; create server out foreign data wrapper out;
       create foreign table ${self}.o (i int) server out;
       alter foreign table ${self}.o owner to ${self}`,
    undone: () => "drop foreign data wrapper out cascade",
  },
  {
    rule: "routine.definer",
    place: "shared",
    done: ({ self }) => `alter function ${self}.f() security definer`,
  },
  {
    rule: "privilege.relations",
    place: "shared",
    done: ({ self }) => `grant select on ${self}.t to public`,
  },
  {
    rule: "privilege.columns",
    place: "shared",
    done: ({ self }) => `grant select (i) on ${self}.t to public`,
  },
  {
    rule: "privilege.sequences",
    place: "shared",
    done: ({ self }) => `grant usage on sequence ${self}.s to public`,
  },
  {
    rule: "privilege.routines",
    place: "shared",
    done: ({ self, neighbour }) => `grant execute on function ${self}.f() to ${neighbour}`,
  },
  {
    rule: "privilege.types",
    place: "shared",
    done: ({ self, neighbour }) => `grant usage on type ${self}.y to ${neighbour}`,
  },
  {
    rule: "privilege.schema",
    place: "shared",
    done: ({ self }) => `grant usage on schema ${self} to public`,
  },
  {
    rule: "privilege.large_objects",
    place: "shared",
    done: ({ self }) =>
      forEach("'grant select on large object %s to public', l.oid", largeObjectsOf(self)),
  },
  {
    rule: "privilege.defaults",
    place: "shared",
    done: ({ self }) =>
      `alter default privileges for role ${self} grant select on tables to public`,
  },
  {
    rule: "privilege.elsewhere",
    place: "both",
    done: ({ self }) => `grant execute on function pg_catalog.pg_ls_waldir() to ${self}`,
  },
];

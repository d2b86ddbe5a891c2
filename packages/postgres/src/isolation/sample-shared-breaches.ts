/** What breaks rules of the tables that tenants share. */
import { SHARED_ROLE, TENANTS_ROLE } from "../names.ts";
import type { Breach } from "./sample-breach.ts";

/** A table to break, as a change of shared tables. */
export const SHARED_NOTES = {
  number: 1,
  name: "notes.sql",
  sql: "create table notes (tenant_id text, id int, title text, primary key (tenant_id, id))",
};

export const SHARED_BREACHES: readonly Breach[] = [
  {
    rule: "shared_tables.objects",
    place: "shared",
    done: () => "create function shared.planted() returns int return 1",
    undone: () => "drop function shared.planted()",
  },
  {
    rule: "shared_tables.objects",
    place: "shared",
    done: () =>
      `create trigger planted before update on shared.notes for each row
         execute function pg_catalog.suppress_redundant_updates_trigger()`,
    undone: () => "drop trigger planted on shared.notes",
  },
  {
    rule: "shared_tables.owner",
    place: "shared",
    done: () =>
      `create sequence aerodb.planted; alter sequence aerodb.planted owner to ${SHARED_ROLE}`,
    undone: () => "drop sequence aerodb.planted",
  },
  {
    rule: "shared_tables.tenant_id",
    place: "shared",
    done: () => "alter table shared.notes alter column tenant_id set default 'anybody'",
    undone: () =>
      "alter table shared.notes alter column tenant_id set default aerodb.current_tenant()",
  },
  {
    rule: "shared_tables.keys",
    place: "shared",
    done: () => "create unique index planted on shared.notes (id)",
    undone: () => "drop index shared.planted",
  },
  {
    rule: "shared_tables.keys",
    place: "shared",
    done: () => "create index planted on shared.notes (title)",
    undone: () => "drop index shared.planted",
  },
  {
    rule: "shared_tables.references",
    place: "shared",
    done: () =>
      `alter table shared.notes add constraint planted foreign key (title, id)
         references shared.notes (tenant_id, id) not valid`,
    undone: () => "alter table shared.notes drop constraint planted",
  },
  {
    rule: "shared_tables.policy",
    place: "shared",
    done: () => "alter table shared.notes no force row level security",
    undone: () => "alter table shared.notes force row level security",
  },
  {
    rule: "shared_tables.policy",
    place: "shared",
    done: () => "create policy planted on shared.notes using (true)",
    undone: () => "drop policy planted on shared.notes",
  },
  {
    rule: "instance.shared_tables",
    place: "shared",
    done: () => "alter table shared.notes disable row level security",
    undone: () => "alter table shared.notes enable row level security",
  },
  {
    rule: "instance.platform_schemas",
    place: "shared",
    done: () => `grant create on schema shared to ${TENANTS_ROLE}`,
    undone: () => `revoke create on schema shared from ${TENANTS_ROLE}`,
  },
  {
    rule: "instance.roles",
    place: "shared",
    done: () => `alter role ${SHARED_ROLE} bypassrls`,
    undone: () => `alter role ${SHARED_ROLE} nobypassrls`,
  },
  {
    rule: "shared_tables.policy",
    place: "shared",
    done: () =>
      `alter policy aerodb_tenant on shared.notes
         using (tenant_id = (select aerodb.current_tenant()))`,
    undone: () =>
      `alter policy aerodb_tenant on shared.notes
         using (tenant_id = any (array[(select aerodb.current_tenant())])
           and tenant_id = (select aerodb.current_tenant()))`,
  },
  {
    rule: "shared_tables.grants",
    place: "shared",
    done: () => `grant truncate on shared.notes to ${TENANTS_ROLE}`,
    undone: () => `revoke truncate on shared.notes from ${TENANTS_ROLE}`,
  },
  {
    rule: "shared_tables.grants",
    place: "shared",
    done: () => "grant select (title) on shared.notes to public",
    undone: () => "revoke select (title) on shared.notes from public",
  },
  {
    rule: "shared_tables.statistics",
    place: "shared",
    done: () => "alter table shared.notes alter column title set statistics -1",
    undone: () => "alter table shared.notes alter column title set statistics 0",
  },
];

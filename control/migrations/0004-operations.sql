-- Long changes, what happened, and what was used.

create table operations (
  id text collate "C" primary key check (id ~ '^op_[0-9a-z]{26}$'),
  kind text not null check (
    kind in ('create_tenant', 'delete_tenant', 'rotate_credentials')),
  tenant_id text collate "C" not null references tenants on delete cascade,
  principal text not null,
  -- The caller's idempotency key, and what it was first used for. Null: none, or long ago.
  request_id text,
  request_sha256 bytea check (octet_length(request_sha256) = 32),
  -- Done once the tenant is observed as desired in this generation or a later one.
  generation bigint not null,
  error text not null default '',
  created_at timestamptz not null default now(),
  deadline_at timestamptz not null,
  done_at timestamptz,
  check ((request_id is null) = (request_sha256 is null))
);

comment on table operations is 'The caller''s view of changes that take a while.';
-- A tenant has at most one change under way.
create unique index operations_open on operations (tenant_id) where done_at is null;
create unique index operations_request on operations (principal, request_id)
  where request_id is not null;
create index operations_tenant on operations (tenant_id, id);
create index operations_deadline on operations (deadline_at) where done_at is null;

create table operation_steps (
  operation_id text collate "C" not null references operations on delete cascade,
  position integer not null check (position > 0),
  name text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (operation_id, position)
);

comment on table operation_steps is 'What an operation has done so far.';

create table events (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  -- Id of a key, of a host, or `system`.
  actor text not null,
  kind text not null,
  subject text not null,
  before jsonb,
  after jsonb,
  request_id text not null default ''
);

comment on table events is 'Who changed what, and when. Append-only.';
create index events_subject on events (subject, id);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name;
end $$;

create trigger events_append_only before update or delete or truncate on events
  for each statement execute function refuse_change();

create table usage_events (
  -- Who measured: a host or a gateway. It numbers what it sends; a repeat changes nothing.
  source text collate "C" not null,
  sequence bigint not null check (sequence > 0),
  meter text not null,
  tenant_id text collate "C" not null,
  value bigint not null check (value >= 0),
  started_at timestamptz not null,
  ended_at timestamptz not null check (ended_at >= started_at),
  received_at timestamptz not null default now(),
  primary key (source, sequence)
);

comment on table usage_events is 'Readings of meters, each once. Append-only.';
create index usage_events_tenant on usage_events (tenant_id, meter, ended_at);
create trigger usage_events_append_only before update or delete or truncate on usage_events
  for each statement execute function refuse_change();

-- Tenants, and the Postgres servers they live in.

create table instances (
  id text collate "C" primary key check (id ~ '^ins_[0-9a-z]{26}$'),
  -- The placement: on which host, why there, and what is reserved for it.
  host_id text collate "C" not null references hosts,
  placement_reason text not null,
  memory_mib integer not null check (memory_mib > 0),
  cpu_millis integer not null check (cpu_millis > 0),
  region text collate "C" not null references regions,
  shared boolean not null,
  engine_major integer not null check (engine_major >= 15),
  max_connections integer not null check (max_connections > 0),
  max_tenants integer not null check (max_tenants > 0),
  -- Tenants that are not deleted; kept by the statements that create and delete them.
  tenant_count integer not null default 0 check (tenant_count between 0 and max_tenants),
  presence text not null default 'present' check (presence in ('present', 'absent')),
  generation bigint not null,
  observed_generation bigint not null default 0,
  observed_state text not null default 'unknown' check (
    observed_state in ('unknown', 'starting', 'running', 'stopped', 'failed', 'absent')),
  observed_reason text not null default '',
  socket_directory text not null default '',
  database text not null default '',
  engine text not null default '',
  system_identifier numeric(20) not null default 0,
  -- Generation in which the gateways' view of the endpoint last changed.
  route_generation bigint not null,
  created_at timestamptz not null default now(),
  -- Its host holds nothing of it any more, and what it reserved was given back.
  gone_at timestamptz,
  check (shared or max_tenants = 1),
  check (gone_at is null or (presence = 'absent' and tenant_count = 0))
) with (fillfactor = 50);

comment on table instances is 'Postgres servers, and the durable decision where each runs.';
create index instances_host on instances (host_id, generation) where gone_at is null;
create index instances_shared on instances (region) where shared and presence = 'present';
create index instances_route on instances (route_generation);
create index instances_gone on instances (gone_at) where gone_at is not null;

create table tenants (
  id text collate "C" primary key check (id ~ '^ten_[0-9a-z]{26}$'),
  name text collate "C" not null check (name ~ '^[a-z][a-z0-9-]{2,62}$'),
  plan text collate "C" not null references plans,
  region text collate "C" not null references regions,
  isolation text not null check (isolation in ('schema', 'database', 'cluster')),
  status text not null check (status in ('creating', 'active', 'deleting', 'deleted')),
  status_reason text not null default '',
  labels jsonb not null default '{}' check (jsonb_typeof(labels) = 'object'),
  instance_id text collate "C" not null references instances,
  -- SCRAM-SHA-256 verifier; blank once the tenant is deleted.
  verifier text not null,
  connection_limit integer not null check (connection_limit > 0),
  -- Generation in which what its host should do last changed, and the newest one its host answered.
  generation bigint not null,
  observed_generation bigint not null default 0,
  -- Generation in which its route last changed.
  route_generation bigint not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz,
  check ((status = 'deleted') = (deleted_at is not null)),
  check ((status = 'deleted') = (verifier = ''))
) with (fillfactor = 60);

comment on table tenants is 'Customers'' logical Postgres. A deleted one stays a while as a row.';
-- A name is free again once its tenant is deleted. Its order also serves the prefix filter.
create unique index tenants_name on tenants (name) where deleted_at is null;
create index tenants_living on tenants (id) where deleted_at is null;
create index tenants_plan on tenants (plan, id) where deleted_at is null;
create index tenants_status on tenants (status, id) where status <> 'active';
create index tenants_instance on tenants (instance_id, generation) where deleted_at is null;
create index tenants_route on tenants (route_generation);

-- What the platform consists of: its one counter, where tenants may live, what they may buy.

create table platform (
  one boolean primary key default true check (one),
  -- Grows with every change of desired state, in the transaction that makes it. The row stays locked
  -- until that transaction ends, so the order of generations is the order of commits, and who reads
  -- generation n has seen every change up to n.
  generation bigint not null default 1 check (generation > 0)
) with (fillfactor = 10);

comment on table platform is 'One row: the counter that stamps every change of desired state.';
insert into platform default values;

create table regions (
  name text collate "C" primary key check (name ~ '^[a-z][a-z0-9-]{0,62}$'),
  created_at timestamptz not null default now()
);

comment on table regions is 'Where hosts are; made when a join token first names it.';

create table plans (
  name text collate "C" primary key check (name ~ '^[a-z][a-z0-9-]{0,62}$'),
  sort_order integer not null unique,
  isolations text[] not null check (
    cardinality(isolations) > 0 and isolations <@ array['schema', 'database', 'cluster']),
  default_isolation text not null check (default_isolation = any (isolations)),
  -- Quotas. Null is unlimited.
  storage_bytes bigint check (storage_bytes >= 0),
  api_requests_per_month bigint check (api_requests_per_month >= 0),
  file_storage_bytes bigint check (file_storage_bytes >= 0),
  realtime_connections bigint check (realtime_connections >= 0),
  connection_limit integer not null check (connection_limit between 1 and 10000),
  -- What a dedicated instance reserves on its host.
  memory_mib integer not null check (memory_mib > 0),
  cpu_millis integer not null check (cpu_millis > 0),
  base_price_micro_usd bigint not null check (base_price_micro_usd >= 0)
);

comment on table plans is 'The commercial offer: quotas, allowed isolation, resources, base price.';

insert into plans values
  ('free', 1, '{schema}', 'schema',
   500 * 1024 * 1024, 10000, 1024 * 1024 * 1024, 100,
   20, 128, 100, 0),
  ('pro', 2, '{schema,database}', 'database',
   100 * 1024::bigint ^ 3, 1000000, 100 * 1024::bigint ^ 3, 10000,
   100, 128, 100, 25000000),
  ('enterprise', 3, '{schema,database,cluster}', 'cluster',
   null, null, null, null,
   500, 1024, 1000, 599000000);

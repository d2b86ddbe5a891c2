-- Tables that tenants of shared instances share: what operators changed of them, and how far instances are.

create table shared_table_changes (
  -- Without gaps: instances have all changes up to one.
  number integer primary key check (number > 0),
  name text collate "C" not null unique check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
  sql text not null check (octet_length(sql) between 1 and 65536),
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  generation bigint not null,
  created_at timestamptz not null default now()
);

comment on table shared_table_changes is
  'Every change of shared tables, in order. Never edited: every shared instance gets each once.';

-- The newest that the instance is known to have.
alter table instances add column shared_table_changes integer not null default 0
  check (shared_table_changes >= 0);

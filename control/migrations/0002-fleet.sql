-- Machines, and who may join.

create table hosts (
  id text collate "C" primary key check (id ~ '^hst_[0-9a-z]{26}$'),
  name text collate "C" not null unique check (name <> ''),
  region text collate "C" not null references regions,
  -- A cordoned host keeps what it has and takes no new placement.
  status text not null default 'open' check (status in ('open', 'cordoned')),
  boot_id text not null default '',
  edge_address text not null default '',
  fingerprint jsonb not null default '{}',
  engines text[] not null default '{}',
  agent_version text not null default '',
  -- Zero until the agent has told what the host has.
  capacity_memory_mib integer not null default 0 check (capacity_memory_mib >= 0),
  capacity_cpu_millis integer not null default 0 check (capacity_cpu_millis >= 0),
  -- Sum of what the host's instances reserve; kept by the statements that place and give back.
  reserved_memory_mib integer not null default 0 check (reserved_memory_mib >= 0),
  reserved_cpu_millis integer not null default 0 check (reserved_cpu_millis >= 0),
  -- Session of the agent's stream: a newer one takes the place of an older one. Null: not connected.
  session_token uuid,
  connected_at timestamptz,
  last_seen_at timestamptz,
  created_at timestamptz not null default now()
) with (fillfactor = 50);

comment on table hosts is 'A machine with an agent: what it has, and what is promised of it.';
create index hosts_region on hosts (region);

create table gateways (
  id text collate "C" primary key check (id ~ '^gtw_[0-9a-z]{26}$'),
  name text collate "C" not null,
  version text not null default '',
  connected_at timestamptz,
  last_seen_at timestamptz,
  created_at timestamptz not null default now()
);

comment on table gateways is 'What the outside reaches; several may run.';

create table join_tokens (
  id text collate "C" primary key,
  kind text not null check (kind in ('host', 'gateway')),
  region text collate "C" references regions,
  secret_sha256 bytea not null check (octet_length(secret_sha256) = 32),
  expires_at timestamptz not null,
  -- The id that the token was traded for, and the key that proved it: with that key, and no other,
  -- the trade may be repeated, for the answer may have been lost.
  used_by text collate "C",
  public_key_sha256 bytea check (octet_length(public_key_sha256) = 32),
  created_at timestamptz not null default now(),
  check ((kind = 'host') = (region is not null)),
  check ((used_by is null) = (public_key_sha256 is null))
);

comment on table join_tokens is 'Single-use, expiring rights to become a host or a gateway.';
create index join_tokens_expiry on join_tokens (expires_at);

create table keys (
  id text collate "C" primary key check (id ~ '^key_[0-9a-z]{26}$'),
  name text not null check (name <> ''),
  sha256 bytea not null check (octet_length(sha256) = 32),
  scopes text[] not null check (cardinality(scopes) > 0),
  -- The key that the configuration presets.
  bootstrap boolean not null default false,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);

comment on table keys is 'Rights to use the API. Only a SHA-256 is kept.';
create unique index keys_sha256 on keys (sha256) where revoked_at is null;
create unique index keys_bootstrap on keys (bootstrap) where bootstrap and revoked_at is null;

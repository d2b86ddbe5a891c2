-- What tenants choose for Postgres itself, and what their hosts made of it.

alter table instances
  -- Settings of postgresql.conf that the tenant chose; validated before they are written.
  add column settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
  -- A server that was started for an older generation than this is to be restarted.
  add column restart_generation bigint not null default 0,
  -- What waits for a restart: as control expects when it writes, then as the host says.
  add column pending_restart text[] not null default '{}',
  -- Walls and limits in force around the server, as the host says.
  add column walls text[] not null default '{}';

alter table tenants
  add column extensions text[] not null default '{}';

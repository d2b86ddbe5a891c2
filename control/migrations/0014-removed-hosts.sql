-- Hosts that were removed, and tenants whose host was lost with their data.

alter table hosts
  -- Its row stays while instances or an agent that comes back refer to it. Removed is revoked too.
  add column removed_at timestamptz,
  add constraint hosts_removed_check check (
    removed_at is null
    or (revoked_at is not null and reserved_memory_mib = 0 and reserved_cpu_millis = 0)) not valid,
  drop constraint hosts_name_key;

alter table hosts validate constraint hosts_removed_check;

-- The name of a removed host is free.
create unique index hosts_name_key on hosts (name) where removed_at is null;

alter table tenants drop constraint tenants_status_check;
alter table tenants
  add constraint tenants_status_check check (
    status in ('creating', 'active', 'suspended', 'failed', 'deleting', 'deleted')) not valid;
alter table tenants validate constraint tenants_status_check;

-- Tenants that stay at a quota are suspended after a grace, and get service back by what they use.

alter table tenants
  -- Whether it is suspended for a quota, and not by hand. Counts only as long as it is suspended.
  add column suspended_by_quota boolean not null default false,
  -- When it was last given its service back: any grace begins anew then.
  add column reinstated_at timestamptz;

create index tenants_suspended_by_quota on tenants (id) where suspended_by_quota;

create table quota_graces (
  tenant_id text collate "C" primary key references tenants on delete cascade,
  -- Null: it is never suspended for a quota.
  grace_seconds bigint check (grace_seconds between 0 and 315360000)
);

comment on table quota_graces is
  'After how long at a quota tenants are suspended, where that differs from the platform.';

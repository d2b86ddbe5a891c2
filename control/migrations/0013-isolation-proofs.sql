-- What was found when it was last proven that tenants are apart from each other.

create table isolation_proofs (
  tenant_id text not null primary key references tenants (id) on delete cascade,
  proven_at timestamptz not null,
  engine text not null,
  proven boolean not null,
  -- A list of what was found of each rule, in the order of the report.
  rules jsonb not null,
  constraint isolation_proofs_rules_check check (jsonb_typeof(rules) = 'array')
);
comment on table isolation_proofs is
  'The newest proof of each tenant: what was checked, and of how much of it each rule holds.';

-- Who is who over time: certificates that were issued, identities that were revoked, hosts and
-- gateways that join again.

create table certificates (
  -- Hexadecimal, in capitals, as OpenSSL shows it.
  serial text collate "C" primary key check (serial ~ '^[0-9A-F]{1,40}$'),
  -- Id of a host or a gateway.
  subject text collate "C" not null check (subject ~ '^(hst|gtw)_[0-9a-z]{26}$'),
  public_key_sha256 bytea not null check (octet_length(public_key_sha256) = 32),
  issued_at timestamptz not null default now(),
  expires_at timestamptz not null,
  -- Refused from then on, although it has not expired.
  refused_at timestamptz
);

comment on table certificates is
  'What hosts and gateways were given to prove themselves with, until it expires.';
create index certificates_subject on certificates (subject, issued_at);
create index certificates_expiry on certificates (expires_at);

alter table hosts
  add column labels jsonb not null default '{}' check (jsonb_typeof(labels) = 'object'),
  add column revoked_at timestamptz,
  add column revoked_reason text not null default '',
  -- When it last joined again: certificates from before that nobody knows of are refused.
  add column rejoined_at timestamptz,
  -- How far its clock is ahead of control's. Null: not measured yet.
  add column clock_offset_ms integer;

create index hosts_revoked on hosts (id) where revoked_at is not null;

alter table gateways
  add column revoked_at timestamptz,
  add column revoked_reason text not null default '',
  add column rejoined_at timestamptz;

alter table join_tokens
  add column labels jsonb not null default '{}' check (jsonb_typeof(labels) = 'object'),
  -- The host or gateway that joins again. Null: a new one.
  add column rejoins text collate "C",
  add column used_at timestamptz,
  add column revoked_at timestamptz;

-- Why the tenants of an instance are not reached; empty when nothing stands in the way.
create function unreachable_because(instance text) returns text language sql stable as $$
  select coalesce((
    select 'Unreachable: its host was revoked and has not joined again.'
      from hosts h join instances i on i.host_id = h.id
     where h.revoked_at is not null and i.id = instance), '')
$$;

-- What somebody should look at: opened once, closed once.

create table alerts (
  id bigint generated always as identity primary key,
  rule text collate "C" not null,
  severity text not null check (severity in ('warning', 'critical')),
  -- Id of a tenant, a host or a gateway.
  subject text collate "C" not null,
  detail text not null,
  opened_at timestamptz not null default now(),
  closed_at timestamptz check (closed_at >= opened_at)
);

comment on table alerts is 'What rules found that lasts: open until it is over.';
create unique index alerts_open on alerts (rule, subject) where closed_at is null;
create index alerts_closed on alerts (closed_at) where closed_at is not null;

create table alert_passes (
  one boolean primary key default true check (one),
  at timestamptz not null,
  -- Since when passes have followed each other without a gap.
  since timestamptz not null
);

comment on table alert_passes is
  'One row: when the rules were last looked at. Before that, a host cannot have been heard either.';

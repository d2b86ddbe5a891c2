-- What the platform finds by itself is an event once: the newest that was told is kept beside it.

alter table instances
  add column end_number bigint not null default 0,
  add column end_told_at timestamptz;

alter table hosts
  add column disk_full boolean not null default false;

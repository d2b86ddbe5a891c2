-- What hosts cost whoever runs the platform, by the time from which on.

create table host_prices (
  -- `any`: every host that has no price of its own. A price outlives its host.
  host_id text collate "C" not null,
  active_from timestamptz not null default now(),
  micro_usd_per_month bigint not null check (micro_usd_per_month between 0 and 1000000000000),
  primary key (host_id, active_from)
);

comment on table host_prices is 'What a month of a host costs, from when on. Never edited.';
create trigger host_prices_append_only before update or delete or truncate on host_prices
  for each statement execute function refuse_change();

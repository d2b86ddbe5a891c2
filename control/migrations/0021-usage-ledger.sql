-- What was used: a ledger by months, and what follows from it hour by hour.

-- The months of a ledger are tables of their own. What was kept so far moves into them.
alter table usage_events rename to usage_events_earlier;
alter table usage_events_earlier rename constraint usage_events_pkey to usage_events_earlier_pkey;
alter index usage_events_tenant rename to usage_events_earlier_tenant;

create table usage_events (
  -- Who measured: a host or a gateway. It numbers what it sends; a repeat changes nothing.
  source text collate "C" not null,
  sequence bigint not null check (sequence > 0),
  meter text not null,
  tenant_id text collate "C" not null,
  value bigint not null check (value >= 0),
  started_at timestamptz not null,
  ended_at timestamptz not null check (ended_at >= started_at),
  received_at timestamptz not null default now(),
  primary key (source, sequence, ended_at)
) partition by range (ended_at);

comment on table usage_events is
  'The ledger of usage: readings of meters, each once. Append-only, a partition for each month.';
create index usage_events_tenant on usage_events (tenant_id, meter, ended_at);
create trigger usage_events_append_only before update or delete or truncate on usage_events
  for each statement execute function refuse_change();

create table usage_records (
  tenant_id text collate "C" not null,
  meter text not null,
  hour timestamptz not null check (hour = date_trunc('hour', hour, 'UTC')),
  -- Of a counter what was added in the hour; of a gauge its value times the milliseconds for which
  -- it was that; of a peak the highest.
  amount numeric(38) not null check (amount >= 0),
  primary key (tenant_id, meter, hour)
) partition by range (hour);

comment on table usage_records is
  'What each tenant used in each hour, by meter. Follows from the ledger, and can be derived anew.';

create function make_usage_months(first timestamptz, last timestamptz) returns void
language plpgsql as $$
declare
  month timestamptz := date_trunc('month', first, 'UTC');
  following timestamptz;
  name text;
  parent text;
begin
  perform pg_advisory_xact_lock(hashtext('make_usage_months'));
  while month <= last loop
    -- In UTC, whatever the session's time zone is.
    following := ((month at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    foreach parent in array array['usage_events', 'usage_records'] loop
      name := format('%s_%s', parent, to_char(month at time zone 'UTC', 'YYYY_MM'));
      continue when to_regclass(name) is not null;
      execute format('create table %I partition of %I for values from (%L) to (%L)',
                     name, parent, month, following);
      -- A statement that names the partition would pass the trigger of the whole by.
      if parent = 'usage_events' then
        execute format('create trigger append_only before update or delete or truncate on %I
                          for each statement execute function refuse_change()', name);
      end if;
    end loop;
    month := following;
  end loop;
end $$;

comment on function make_usage_months is
  'Makes room for what was used in the months from first to last. Does nothing for months that have it.';

select make_usage_months(
  least((select min(ended_at) from usage_events_earlier), now() - interval '2 months'),
  now() + interval '2 months');
insert into usage_events select * from usage_events_earlier;
drop table usage_events_earlier;

create table usage_sources (
  source text collate "C" primary key,
  -- Events up to this number were taken in, or refused.
  sequence bigint not null check (sequence >= 0),
  refused bigint not null default 0 check (refused >= 0),
  received_at timestamptz not null default now()
) with (fillfactor = 50);

comment on table usage_sources is 'How far the events of each host and gateway were taken in.';
insert into usage_sources (source, sequence)
  select source, max(sequence) from usage_events group by source;

create table usage_batches (
  id bigint generated always as identity primary key,
  source text collate "C" not null,
  first_sequence bigint not null,
  last_sequence bigint not null check (last_sequence >= first_sequence),
  first_ended_at timestamptz not null,
  last_ended_at timestamptz not null check (last_ended_at >= first_ended_at)
);

comment on table usage_batches is
  'Events that were taken in and from which no usage records follow yet. Emptied by the roll-up.';
insert into usage_batches (source, first_sequence, last_sequence, first_ended_at, last_ended_at)
  select source, min(sequence), max(sequence), min(ended_at), max(ended_at)
    from usage_events group by source;

create table usage_gauges (
  tenant_id text collate "C" not null,
  meter text not null,
  -- The newest reading.
  value bigint not null,
  read_at timestamptz not null,
  -- The last hour that has a record. The gauge holds its value from then on too.
  rolled_up_to timestamptz not null,
  primary key (tenant_id, meter)
) with (fillfactor = 50);

comment on table usage_gauges is 'What each gauge of each tenant was when it was last read.';

create table tenant_terms (
  tenant_id text collate "C" not null,
  from_at timestamptz not null,
  -- Null: the tenant ended.
  plan text collate "C",
  tenant_name text collate "C" not null,
  isolation text not null,
  primary key (tenant_id, from_at)
);

comment on table tenant_terms is
  'Since when each tenant has been on which plan. Begins when it first served; outlives the tenant.';
create index tenant_terms_from on tenant_terms (from_at);
create trigger tenant_terms_append_only before update or delete or truncate on tenant_terms
  for each statement execute function refuse_change();

create function keep_tenant_terms() returns trigger language plpgsql as $$
declare
  newest tenant_terms;
  plan_now text := case when new.status in ('failed', 'deleting', 'deleted') then null else new.plan end;
begin
  select * into newest from tenant_terms where tenant_id = new.id order by from_at desc limit 1;
  if not found and new.status <> 'active' or found and newest.plan is not distinct from plan_now then
    return null;
  end if;
  -- Two changes of one instant are one step apart, so that each has a time of its own.
  insert into tenant_terms (tenant_id, from_at, plan, tenant_name, isolation)
  values (new.id, greatest(now(), newest.from_at + interval '1 microsecond'), plan_now, new.name,
          new.isolation);
  return null;
end $$;

comment on function keep_tenant_terms is 'Writes down from when a tenant is on another plan.';
create trigger tenants_terms after insert or update of status, plan on tenants
  for each row execute function keep_tenant_terms();

insert into tenant_terms (tenant_id, from_at, plan, tenant_name, isolation)
  select id, created_at, plan, name, isolation from tenants
   where status in ('active', 'suspended', 'deleting');
insert into tenant_terms (tenant_id, from_at, plan, tenant_name, isolation)
  select id, greatest(updated_at, created_at + interval '1 microsecond'), null, name, isolation
    from tenants where status = 'deleting';

-- The hours of each gauge that a reading decides: its own and those after it, as far as the hour of
-- the next reading, of the tenant's end or of the given time.
create function hours_of_gauges(
  tenant_ids text[], meters text[], hours timestamptz[], until timestamptz
) returns table (tenant_id text, meter text, hour timestamptz) language sql stable as $$
  select distinct t.tenant_id, t.meter, h.hour
    from unnest(tenant_ids, meters, hours) as t (tenant_id, meter, hour)
    left join lateral (
      select e.ended_at as at from usage_events e
       where e.tenant_id = t.tenant_id and e.meter = t.meter
         and e.ended_at >= t.hour + interval '1 hour'
       order by e.ended_at limit 1) following on true
    left join lateral (
      select case when s.plan is null then s.from_at end as at from tenant_terms s
       where s.tenant_id = t.tenant_id order by s.from_at desc limit 1) ended on true
    cross join lateral generate_series(
      t.hour, greatest(t.hour, date_trunc('hour', least(following.at, ended.at, until), 'UTC')),
      interval '1 hour') as h (hour)
$$;

comment on function hours_of_gauges is 'The hours whose records depend on readings of these hours.';

-- A gauge holds what was read until the next reading, for as long as its tenant is on a plan.
create function gauges_of_hours(
  tenant_ids text[], meters text[], hours timestamptz[], until timestamptz
) returns table (tenant_id text, meter text, hour timestamptz, amount numeric)
language sql stable as $$
  with asked as (
    select * from unnest(tenant_ids, meters, hours) as t (tenant_id, meter, hour)
  ), readings as (
    select a.*, e.value, e.ended_at as at, e.source, e.sequence
      from asked a join usage_events e
        on e.tenant_id = a.tenant_id and e.meter = a.meter
       and e.ended_at >= a.hour and e.ended_at < a.hour + interval '1 hour'
    union all
    select a.*, e.value, a.hour, '', 0
      from asked a cross join lateral (
        select value from usage_events e
         where e.tenant_id = a.tenant_id and e.meter = a.meter and e.ended_at < a.hour
         order by e.ended_at desc, e.source desc, e.sequence desc limit 1) e
  ), spans as (
    select r.tenant_id, r.meter, r.hour, r.value, r.at as from_at,
           lead(r.at, 1, least(r.hour + interval '1 hour', until)) over (
             partition by r.tenant_id, r.meter, r.hour order by r.at, r.source, r.sequence) as to_at
      from readings r
  ), terms as (
    select s.tenant_id, s.plan, s.from_at,
           lead(s.from_at, 1, 'infinity') over (
             partition by s.tenant_id order by s.from_at) as to_at
      from tenant_terms s where s.tenant_id = any(tenant_ids)
  )
  select a.tenant_id, a.meter, a.hour, coalesce(round(sum(
           s.value * 1000 * extract(epoch from least(s.to_at, t.to_at)
                                               - greatest(s.from_at, t.from_at)))), 0)
    from asked a
    left join (spans s join terms t on t.tenant_id = s.tenant_id and t.plan is not null
                 and t.from_at < s.to_at and t.to_at > s.from_at)
      on s.tenant_id = a.tenant_id and s.meter = a.meter and s.hour = a.hour
   group by a.tenant_id, a.meter, a.hour
$$;

comment on function gauges_of_hours is 'Value times milliseconds of gauges in each of these hours.';

-- Several gateways have a peak each; that of a minute is at most what they had together.
create function counted_in_hours(
  tenant_ids text[], meters text[], hours timestamptz[], peaks text[]
) returns table (tenant_id text, meter text, hour timestamptz, amount numeric)
language sql stable as $$
  select m.tenant_id, m.meter, m.hour,
         case when m.meter = any(peaks) then max(m.amount) else sum(m.amount) end
    from (
      select t.tenant_id, t.meter, t.hour, sum(e.value) as amount
        from unnest(tenant_ids, meters, hours) as t (tenant_id, meter, hour)
        join usage_events e
          on e.tenant_id = t.tenant_id and e.meter = t.meter
         and e.ended_at >= t.hour and e.ended_at < t.hour + interval '1 hour'
       group by t.tenant_id, t.meter, t.hour, date_bin('1 minute', e.ended_at, 'epoch')) m
   group by m.tenant_id, m.meter, m.hour
$$;

comment on function counted_in_hours is 'What counters and peaks add up to in each of these hours.';

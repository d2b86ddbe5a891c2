-- No reading of a gauge keeps the records of everybody from being written: one times the milliseconds
-- of an hour may be more than 64 bits hold, and of a clock that is ahead it came to less than nothing.

create or replace function gauges_of_hours(
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
    select r.tenant_id, r.meter, r.hour, r.value, least(r.at, until) as from_at,
           -- What a clock that is ahead read holds from then on, and nothing holds in advance.
           least(until, lead(r.at, 1, r.hour + interval '1 hour') over (
             partition by r.tenant_id, r.meter, r.hour order by r.at, r.source, r.sequence))
             as to_at
      from readings r
  ), terms as (
    select s.tenant_id, s.plan, s.from_at,
           lead(s.from_at, 1, 'infinity') over (
             partition by s.tenant_id order by s.from_at) as to_at
      from tenant_terms s where s.tenant_id = any(tenant_ids)
  )
  select a.tenant_id, a.meter, a.hour, coalesce(round(sum(
           s.value::numeric * 1000 * extract(epoch from least(s.to_at, t.to_at)
                                               - greatest(s.from_at, t.from_at)))), 0)
    from asked a
    left join (spans s join terms t on t.tenant_id = s.tenant_id and t.plan is not null
                 and t.from_at < s.to_at and t.to_at > s.from_at)
      on s.tenant_id = a.tenant_id and s.meter = a.meter and s.hour = a.hour
   group by a.tenant_id, a.meter, a.hour
$$;

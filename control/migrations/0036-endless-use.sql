-- Readings of one tenant that come to more than 64 bits hold keep nobody else's from being looked at.

create or replace view quota_standings as
  select t.id as tenant_id, t.name as tenant_name, r.resource,
         case when o.tenant_id is null then r.planned else o.quota end as quota,
         o.tenant_id is not null as overridden,
         -- What readings add up to may be more than 64 bits hold, and is more than any quota then.
         least(coalesce(u.used, 0), 9223372036854775807)::bigint as used, u.at as used_at,
         coalesce(s.stage, 'within') as stage, s.since
    from tenants t
    join plans p on p.name = t.plan
   cross join lateral (values
           ('storage_bytes', p.storage_bytes),
           ('api_requests_per_month', p.api_requests_per_month),
           ('file_storage_bytes', p.file_storage_bytes),
           ('realtime_connections', p.realtime_connections),
           -- No plan caps what its tenants may come to.
           ('spend_micro_usd_per_month', null)) as r (resource, planned)
    left join quota_overrides o on o.tenant_id = t.id and o.resource = r.resource
    left join quota_stages s on s.tenant_id = t.id and s.resource = r.resource
    left join lateral (
      select g.value::numeric as used, g.read_at as at
        from usage_gauges g
       where g.tenant_id = t.id
         and g.meter = case r.resource when 'storage_bytes' then 'storage_bytes'
                                       when 'file_storage_bytes' then 'file_bytes' end
      union all
      select sum(e.amount), max(e.hour)
        from usage_records e
       where r.resource = 'api_requests_per_month'
         and e.tenant_id = t.id and e.meter = 'api_requests'
         and e.hour >= date_trunc('month', now(), 'UTC')
      having count(*) > 0
      union all
      select max(e.amount), max(e.hour)
        from usage_records e
       where r.resource = 'realtime_connections'
         and e.tenant_id = t.id and e.meter = 'realtime_connections_peak'
         and e.hour >= date_trunc('hour', now() - interval '1 hour', 'UTC')
      having count(*) > 0
      union all
      select b.subtotal_micro_usd, b.derived_at
        from running_bills b
       where r.resource = 'spend_micro_usd_per_month' and b.tenant_id = t.id
         and b.month = date_trunc('month', now(), 'UTC') and b.subtotal_micro_usd is not null
    ) u on true
   where t.status in ('active', 'suspended');

-- As in 0021, in numbers without an end.
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
           s.value::numeric * 1000 * extract(epoch from least(s.to_at, t.to_at)
                                               - greatest(s.from_at, t.from_at)))), 0)
    from asked a
    left join (spans s join terms t on t.tenant_id = s.tenant_id and t.plan is not null
                 and t.from_at < s.to_at and t.to_at > s.from_at)
      on s.tenant_id = a.tenant_id and s.meter = a.meter and s.hour = a.hour
   group by a.tenant_id, a.meter, a.hour
$$;

-- Readings of one tenant that add up to nonsense keep nobody else's quotas from being looked at.

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

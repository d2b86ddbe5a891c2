-- How much of its quotas each tenant uses, and what follows from it.

create table quota_overrides (
  tenant_id text collate "C" not null references tenants on delete cascade,
  resource text not null check (resource in (
    'storage_bytes', 'api_requests_per_month', 'file_storage_bytes', 'realtime_connections')),
  -- Null: unlimited.
  quota bigint check (quota >= 0),
  primary key (tenant_id, resource)
);

comment on table quota_overrides is 'Quotas of tenants that differ from those of their plans.';

create table quota_stages (
  tenant_id text collate "C" not null references tenants on delete cascade,
  resource text not null,
  stage text not null check (stage in ('warned', 'reached')),
  since timestamptz not null default now(),
  primary key (tenant_id, resource)
);

comment on table quota_stages is
  'Who uses most of a quota, or all of it, and since when. Whoever has no row is well within.';

create view quota_standings as
  select t.id as tenant_id, t.name as tenant_name, r.resource,
         case when o.tenant_id is null then r.planned else o.quota end as quota,
         o.tenant_id is not null as overridden,
         coalesce(u.used, 0)::bigint as used, u.at as used_at,
         coalesce(s.stage, 'within') as stage, s.since
    from tenants t
    join plans p on p.name = t.plan
   cross join lateral (values
           ('storage_bytes', p.storage_bytes),
           ('api_requests_per_month', p.api_requests_per_month),
           ('file_storage_bytes', p.file_storage_bytes),
           ('realtime_connections', p.realtime_connections)) as r (resource, planned)
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
    ) u on true
   where t.status in ('active', 'suspended');

comment on view quota_standings is 'What each tenant uses of each of its quotas.';

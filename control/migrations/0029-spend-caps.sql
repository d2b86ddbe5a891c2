-- A cap on what a tenant's running month comes to, which acts like a quota.

alter table quota_overrides
  drop constraint quota_overrides_resource_check;
alter table quota_overrides
  add constraint quota_overrides_resource_check check (resource in (
    'storage_bytes', 'api_requests_per_month', 'file_storage_bytes', 'realtime_connections',
    'spend_micro_usd_per_month')) not valid;
alter table quota_overrides validate constraint quota_overrides_resource_check;

create table running_bills (
  tenant_id text collate "C" primary key,
  month timestamptz not null check (month = date_trunc('month', month, 'UTC')),
  -- Null: it cannot be billed, for its plan has no price.
  subtotal_micro_usd bigint check (subtotal_micro_usd >= 0),
  credit_micro_usd bigint check (credit_micro_usd between 0 and subtotal_micro_usd),
  derived_at timestamptz not null default now(),
  check ((subtotal_micro_usd is null) = (credit_micro_usd is null))
) with (fillfactor = 50);

comment on table running_bills is
  'What the running month came to for each tenant when it was last derived. May be derived anew.';

create or replace view quota_standings as
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

-- Why a tenant's writes are refused: one sentence for each quota that asks for it.
create function writes_refused_because(tenant tenants) returns text language sql stable as $$
  select concat_ws(' ',
    case when storage or not spend
         then 'Writes are refused: its storage quota is used up. Delete or truncate data, or drop '
              'tables or indexes: writes are accepted again once less is stored.' end,
    case when spend
         then 'Writes are refused: the month has come to its spend cap. They are accepted again '
              'once the cap is raised or the month turns.' end)
    from (select coalesce(bool_or(resource = 'storage_bytes'), false) as storage,
                 coalesce(bool_or(resource = 'spend_micro_usd_per_month'), false) as spend
            from quota_stages
           where tenant_id = tenant.id and stage = 'reached') reached
   where tenant.writes_refused and tenant.status in ('active', 'suspended')
$$;

create or replace function limited_because(tenant tenants)
returns text language sql stable as $$
  select concat_ws(' ',
    writes_refused_because(tenant),
    (select coalesce(
              nullif(i.observed_reason, ''),
              format('Its volume of %s MiB stays, although its plan is of %s MiB: a volume does not '
                     'shrink.', i.storage_mib, nullif(p.storage_mib, 0)))
       from instances i join plans p on p.name = tenant.plan
      where i.id = tenant.instance_id and i.observed_state = 'running' and i.presence = 'present'
        and (i.observed_reason <> '' or i.storage_mib > p.storage_mib and p.storage_mib > 0)
        -- What a host says of a shared instance may be about another tenant of it.
        and (not i.shared or starts_with(i.observed_reason, 'Read-only:'))))
$$;

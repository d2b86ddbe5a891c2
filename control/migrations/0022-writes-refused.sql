-- A tenant whose storage quota is used up is refused what adds to it, inside Postgres.

alter table tenants
  -- Whether its host should refuse its writes. It reads and removes all the same.
  add column writes_refused boolean not null default false;

create or replace function limited_because(tenant tenants)
returns text language sql stable as $$
  select concat_ws(' ',
    case when tenant.writes_refused and tenant.status in ('active', 'suspended')
         then 'Writes are refused: its storage quota is used up. Delete or truncate data, or drop '
              'tables or indexes: writes are accepted again once less is stored.' end,
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

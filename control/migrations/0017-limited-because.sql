-- A tenant that is served says what its host could not do for it, why it takes no writes, or that it
-- has more room than its plan.

create function limited_because(tenant tenants) returns text language sql stable as $$
  select coalesce((
    select coalesce(
             nullif(i.observed_reason, ''),
             format('Its volume of %s MiB stays, although its plan is of %s MiB: a volume does not '
                    'shrink.', i.storage_mib, nullif(p.storage_mib, 0)))
      from instances i join plans p on p.name = tenant.plan
     where i.id = tenant.instance_id and i.observed_state = 'running' and i.presence = 'present'
       and (i.observed_reason <> '' or i.storage_mib > p.storage_mib and p.storage_mib > 0)
       -- What a host says of a shared instance may be about another tenant of it.
       and (not i.shared or starts_with(i.observed_reason, 'Read-only:'))), '')
$$;

create or replace function status_reason_of(tenant tenants)
returns text language sql stable as $$
  select coalesce(
    nullif(concat_ws('; ', tenant.suspend_reason,
                     case when tenant.status = 'suspended' and tenant.suspend_reason is null
                          then 'it is being reinstated' end,
                     tenant.quarantine_reason, nullif(tenant.status_reason, '')), ''),
    nullif(unreachable_because(tenant.instance_id), ''),
    limited_because(tenant))
$$;

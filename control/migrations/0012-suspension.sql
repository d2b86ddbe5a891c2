-- Tenants that get no service: suspended by an administrator, or not proven to be isolated.

alter table tenants
  -- Why it should have no service. A suspended tenant without one is being reinstated.
  add column suspend_reason text,
  -- Why gateways refuse its connections whatever its status. Null: they do not.
  add column quarantine_reason text,
  drop constraint tenants_status_check;

alter table tenants
  add constraint tenants_status_check check (
    status in ('creating', 'active', 'suspended', 'deleting', 'deleted')) not valid,
  add constraint tenants_suspend_reason_check check (
    suspend_reason is null or (suspend_reason <> '' and status = 'suspended')) not valid,
  add constraint tenants_quarantine_reason_check check (quarantine_reason <> '') not valid;

alter table tenants validate constraint tenants_status_check;
alter table tenants validate constraint tenants_suspend_reason_check;
alter table tenants validate constraint tenants_quarantine_reason_check;

alter table operations drop constraint operations_kind_check;
alter table operations
  add constraint operations_kind_check check (
    kind in ('create_tenant', 'delete_tenant', 'rotate_credentials', 'suspend_tenant',
             'reinstate_tenant')) not valid;
alter table operations validate constraint operations_kind_check;

-- Why a tenant is in its status or is not served; blank when nothing needs saying.
create function status_reason_of(tenant tenants) returns text language sql stable as $$
  select coalesce(
    nullif(concat_ws('; ', tenant.suspend_reason,
                     case when tenant.status = 'suspended' and tenant.suspend_reason is null
                          then 'it is being reinstated' end,
                     tenant.quarantine_reason, nullif(tenant.status_reason, '')), ''),
    unreachable_because(tenant.instance_id))
$$;

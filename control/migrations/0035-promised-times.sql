-- What was down on a plan that promises nothing uses nothing of what another plan promises.

create function promised_times(tenants text[], month timestamptz)
returns table (tenant_id text, times tstzmultirange) language sql stable as $$
  select s.tenant_id, range_agg(tstzrange(s.from_at, s.to_at))
    from (select t.tenant_id, t.plan, t.from_at,
                 lead(t.from_at) over (partition by t.tenant_id order by t.from_at) as to_at
            from tenant_terms t where t.tenant_id = any(tenants)) s
   where s.plan in (select plan from plan_promises where active_from <= month)
   group by s.tenant_id
$$;

comment on function promised_times is
  'When tenants were on plans that promise something in a month. What was down then uses the budget.';

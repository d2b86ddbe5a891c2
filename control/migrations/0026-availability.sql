-- Who could be reached, as gateways found it: only when they looked, and when nobody got through.

create table plan_promises (
  plan text collate "C" not null references plans (name),
  active_from timestamptz not null check (active_from = date_trunc('month', active_from, 'UTC')),
  -- Of a million minutes, in how many clients get through.
  available_millionths integer not null check (available_millionths between 1 and 999999),
  created_at timestamptz not null default now(),
  primary key (plan, active_from)
);

comment on table plan_promises is
  'What availability a plan promises, by the month from which on. A plan without promises none.';
create trigger plan_promises_append_only before update or delete or truncate on plan_promises
  for each statement execute function refuse_change();
insert into plan_promises (plan, active_from, available_millionths)
  select p.plan, date_trunc('month', now(), 'UTC'), p.millionths
    from (values ('pro', 999000), ('enterprise', 999500)) as p (plan, millionths)
    join plans on plans.name = p.plan;

create table watched_times (
  gateway_id text collate "C" not null references gateways on delete cascade,
  month timestamptz not null check (month = date_trunc('month', month, 'UTC')),
  times tstzmultirange not null,
  primary key (gateway_id, month)
) with (fillfactor = 50);

comment on table watched_times is
  'When each gateway found out of every tenant whether clients get through. Of the rest nothing is known.';

create table unreached_times (
  tenant_id text collate "C" not null,
  month timestamptz not null check (month = date_trunc('month', month, 'UTC')),
  cause text collate "C" not null,
  times tstzmultirange not null,
  last_at timestamptz not null generated always as (upper(times)) stored,
  primary key (month, tenant_id, cause)
) with (fillfactor = 50);

comment on table unreached_times is
  'When nobody got through to a tenant, by cause. Outlives the tenant.';
create index unreached_times_last on unreached_times (last_at);

alter table gateways
  -- When the certificate ends that it shows on its Postgres ports. Null: it has not said.
  add column certificate_ends_at timestamptz;

create function seconds_of(times tstzmultirange) returns double precision language sql immutable as $$
  select coalesce(sum(extract(epoch from upper(r) - lower(r))), 0)::float8 from unnest(times) r
$$;

comment on function seconds_of is 'How long some times are together.';

create function error_budgets(tenants text[], month timestamptz)
returns table (tenant_id text, seconds double precision) language sql stable as $$
  select s.tenant_id,
         sum(extract(epoch from least(coalesce(s.to_at, 'infinity'), m.ends_at)
                                - greatest(s.from_at, month))
             * (1000000 - p.available_millionths) / 1000000)::float8
    from -- In UTC, whatever the session's time zone is.
         (select (month at time zone 'UTC' + interval '1 month') at time zone 'UTC' as ends_at) m,
         (select t.tenant_id, t.plan, t.from_at,
                 lead(t.from_at) over (partition by t.tenant_id order by t.from_at) as to_at
            from tenant_terms t where t.tenant_id = any(tenants)) s
    join (select distinct on (plan) plan, available_millionths from plan_promises
           where active_from <= month order by plan, active_from desc) p on p.plan = s.plan
   where s.from_at < m.ends_at and (s.to_at is null or s.to_at > month)
   group by s.tenant_id
$$;

comment on function error_budgets is
  'For how long tenants may be down in a month by what their plans promise. Of whom nothing is promised has no row.';

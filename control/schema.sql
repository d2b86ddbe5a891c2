-- The catalogue as control/migrations/ leave it, for review. Made by `npm run generate`.
-- Never edited and never run: change the schema by a new migration.

CREATE OR REPLACE FUNCTION public.counted_in_hours(tenant_ids text[], meters text[], hours timestamp with time zone[], peaks text[])
 RETURNS TABLE(tenant_id text, meter text, hour timestamp with time zone, amount numeric)
 LANGUAGE sql
 STABLE
AS $function$
  select m.tenant_id, m.meter, m.hour,
         case when m.meter = any(peaks) then max(m.amount) else sum(m.amount) end
    from (
      select s.tenant_id, s.meter, s.hour, s.minute, sum(s.amount) as amount
        from (
          select t.tenant_id, t.meter, t.hour, date_bin('1 minute', e.ended_at, 'epoch') as minute,
                 case when t.meter = any(peaks) then max(e.value) else sum(e.value) end as amount
            from unnest(tenant_ids, meters, hours) as t (tenant_id, meter, hour)
            join usage_events e
              on e.tenant_id = t.tenant_id and e.meter = t.meter
             and e.ended_at >= t.hour and e.ended_at < t.hour + interval '1 hour'
           group by t.tenant_id, t.meter, t.hour, minute, e.source) s
       group by s.tenant_id, s.meter, s.hour, s.minute) m
   group by m.tenant_id, m.meter, m.hour
$function$
;
CREATE OR REPLACE FUNCTION public.day_of_sample(at timestamp with time zone)
 RETURNS smallint
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select (floor(extract(epoch from at) / 86400)::bigint % 4)::smallint
$function$
;
CREATE OR REPLACE FUNCTION public.empty_tomorrows_samples()
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
declare
  tomorrow text := format('samples_%s', day_of_sample(now() + interval '1 day'));
  found boolean;
begin
  -- What is there and not old belongs to an agent whose clock is a little ahead.
  execute format(
    'select exists (select from %I) and not exists (
       select from %I where at > now() - interval ''1 day'')', tomorrow, tomorrow) into found;
  if found then execute format('truncate %I', tomorrow); end if;
  return found;
end $function$
;
CREATE OR REPLACE FUNCTION public.error_budgets(tenants text[], month timestamp with time zone)
 RETURNS TABLE(tenant_id text, seconds double precision)
 LANGUAGE sql
 STABLE
AS $function$
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
$function$
;
CREATE OR REPLACE FUNCTION public.gauges_of_hours(tenant_ids text[], meters text[], hours timestamp with time zone[], until timestamp with time zone)
 RETURNS TABLE(tenant_id text, meter text, hour timestamp with time zone, amount numeric)
 LANGUAGE sql
 STABLE
AS $function$
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
$function$
;
CREATE OR REPLACE FUNCTION public.hours_of_gauges(tenant_ids text[], meters text[], hours timestamp with time zone[], until timestamp with time zone)
 RETURNS TABLE(tenant_id text, meter text, hour timestamp with time zone)
 LANGUAGE sql
 STABLE
AS $function$
  select distinct t.tenant_id, t.meter, h.hour
    from unnest(tenant_ids, meters, hours) as t (tenant_id, meter, hour)
    left join lateral (
      select e.ended_at as at from usage_events e
       where e.tenant_id = t.tenant_id and e.meter = t.meter
         and e.ended_at >= t.hour + interval '1 hour'
       order by e.ended_at limit 1) following on true
    left join lateral (
      select case when s.plan is null then s.from_at end as at from tenant_terms s
       where s.tenant_id = t.tenant_id order by s.from_at desc limit 1) ended on true
    cross join lateral generate_series(
      t.hour, greatest(t.hour, date_trunc('hour', least(following.at, ended.at, until), 'UTC')),
      interval '1 hour') as h (hour)
$function$
;
CREATE OR REPLACE FUNCTION public.keep_tenant_terms()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
declare
  newest tenant_terms;
  plan_now text := case when new.status in ('failed', 'deleting', 'deleted') then null else new.plan end;
begin
  select * into newest from tenant_terms where tenant_id = new.id order by from_at desc limit 1;
  if not found and new.status <> 'active' or found and newest.plan is not distinct from plan_now then
    return null;
  end if;
  -- Two changes of one instant are one step apart, so that each has a time of its own.
  insert into tenant_terms (tenant_id, from_at, plan, tenant_name, isolation)
  values (new.id, greatest(now(), newest.from_at + interval '1 microsecond'), plan_now, new.name,
          new.isolation);
  return null;
end $function$
;
CREATE OR REPLACE FUNCTION public.limited_because(tenant tenants)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
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
$function$
;
CREATE OR REPLACE FUNCTION public.make_usage_months(first timestamp with time zone, last timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
declare
  month timestamptz := date_trunc('month', first, 'UTC');
  following timestamptz;
  name text;
  parent text;
begin
  perform pg_advisory_xact_lock(hashtext('make_usage_months'));
  while month <= last loop
    -- In UTC, whatever the session's time zone is.
    following := ((month at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    foreach parent in array array['usage_events', 'usage_records'] loop
      name := format('%s_%s', parent, to_char(month at time zone 'UTC', 'YYYY_MM'));
      continue when to_regclass(name) is not null;
      execute format('create table %I partition of %I for values from (%L) to (%L)',
                     name, parent, month, following);
      -- A statement that names the partition would pass the trigger of the whole by.
      if parent = 'usage_events' then
        execute format('create trigger append_only before update or delete or truncate on %I
                          for each statement execute function refuse_change()', name);
      end if;
    end loop;
    month := following;
  end loop;
end $function$
;
CREATE OR REPLACE FUNCTION public.next_bill_number()
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
begin
  perform pg_advisory_xact_lock(hashtext('bill_numbers'));
  return greatest((select coalesce(max(number), 0) from invoices),
                  (select coalesce(max(number), 0) from credit_notes)) + 1;
end $function$
;
CREATE OR REPLACE FUNCTION public.promised_times(tenants text[], month timestamp with time zone)
 RETURNS TABLE(tenant_id text, times tstzmultirange)
 LANGUAGE sql
 STABLE
AS $function$
  select s.tenant_id, range_agg(tstzrange(s.from_at, s.to_at))
    from (select t.tenant_id, t.plan, t.from_at,
                 lead(t.from_at) over (partition by t.tenant_id order by t.from_at) as to_at
            from tenant_terms t where t.tenant_id = any(tenants)) s
   where s.plan in (select plan from plan_promises where active_from <= month)
   group by s.tenant_id
$function$
;
CREATE OR REPLACE FUNCTION public.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  raise exception '% is append-only', tg_table_name;
end $function$
;
CREATE OR REPLACE FUNCTION public.seconds_of(times tstzmultirange)
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE
AS $function$
  select coalesce(sum(extract(epoch from upper(r) - lower(r))), 0)::float8 from unnest(times) r
$function$
;
CREATE OR REPLACE FUNCTION public.status_reason_of(tenant tenants)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
  select coalesce(
    nullif(concat_ws('; ', tenant.suspend_reason,
                     case when tenant.status = 'suspended' and tenant.suspend_reason is null
                          then 'it is being reinstated' end,
                     tenant.quarantine_reason, nullif(tenant.status_reason, '')), ''),
    nullif(unreachable_because(tenant.instance_id), ''),
    limited_because(tenant))
$function$
;
CREATE OR REPLACE FUNCTION public.take_warm_instance(host text, asked instances)
 RETURNS text
 LANGUAGE sql
AS $function$
  delete from warm_instances
   where not asked.shared
     and id = (
       select id from warm_instances
        where host_id = host
          and (engine_major, max_connections, memory_mib, cpu_millis, storage_mib, pids_limit)
            = (asked.engine_major, asked.max_connections, asked.memory_mib, asked.cpu_millis,
               asked.storage_mib, asked.pids_limit)
        order by reported_at limit 1 for update skip locked)
  returning id
$function$
;
CREATE OR REPLACE FUNCTION public.unreachable_because(instance text)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
  select coalesce((
    select case
             when h.revoked_at is not null
               then 'Unreachable: its host was revoked and has not joined again.'
             when i.observed_state = 'failed' and i.presence = 'present'
               -- What a host says of a shared instance may be about another tenant of it.
               then 'Unreachable: ' || case when i.shared
                      then 'its shared instance does not run at the moment.'
                      else i.observed_reason end
             when h.last_seen_at < now() - interval '45 seconds'
               then 'The agent of its host has not been heard since '
                    || to_char(h.last_seen_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z".')
             else ''
           end
      from hosts h join instances i on i.host_id = h.id
     where i.id = instance), '')
$function$
;
CREATE OR REPLACE FUNCTION public.writes_refused_because(tenant tenants)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
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
$function$
;

-- One row: when the rules were last looked at. Before that, a host cannot have been heard either.
create table alert_passes (
  one boolean default true not null,
  at timestamp with time zone not null,
  since timestamp with time zone not null,
  constraint alert_passes_pkey PRIMARY KEY (one),
  constraint alert_passes_one_check CHECK (one)
);

-- What rules found that lasts: open until it is over.
create table alerts (
  id bigint generated always as identity not null,
  rule text collate "C" not null,
  severity text not null,
  subject text collate "C" not null,
  detail text not null,
  opened_at timestamp with time zone default now() not null,
  closed_at timestamp with time zone,
  constraint alerts_pkey PRIMARY KEY (id),
  constraint alerts_check CHECK ((closed_at >= opened_at)),
  constraint alerts_severity_check CHECK ((severity = ANY (ARRAY['warning'::text, 'critical'::text])))
);
CREATE INDEX alerts_closed ON alerts USING btree (closed_at) WHERE (closed_at IS NOT NULL);
CREATE UNIQUE INDEX alerts_open ON alerts USING btree (rule, subject) WHERE (closed_at IS NULL);

-- What hosts and gateways were given to prove themselves with, until it expires.
create table certificates (
  serial text collate "C" not null,
  subject text collate "C" not null,
  public_key_sha256 bytea not null,
  issued_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone not null,
  refused_at timestamp with time zone,
  constraint certificates_pkey PRIMARY KEY (serial),
  constraint certificates_public_key_sha256_check CHECK ((octet_length(public_key_sha256) = 32)),
  constraint certificates_serial_check CHECK ((serial ~ '^[0-9A-F]{1,40}$'::text)),
  constraint certificates_subject_check CHECK ((subject ~ '^(hst|gtw)_[0-9a-z]{26}$'::text))
);
CREATE INDEX certificates_expiry ON certificates USING btree (expires_at);
CREATE INDEX certificates_subject ON certificates USING btree (subject, issued_at);

-- Months of which every tenant has its invoice.
create table closed_months (
  month timestamp with time zone not null,
  closed_at timestamp with time zone default now() not null,
  constraint closed_months_pkey PRIMARY KEY (month),
  constraint closed_months_month_check CHECK ((month = date_trunc('month'::text, month, 'UTC'::text)))
);
CREATE TRIGGER closed_months_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON closed_months FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What is given back to tenants: it pays their next invoices. Never edited.
create table credit_notes (
  id text collate "C" not null,
  number bigint not null,
  tenant_id text collate "C" not null,
  invoice_id text collate "C",
  amount_micro_usd bigint not null,
  reason text not null,
  request_id text collate "C",
  created_at timestamp with time zone default now() not null,
  constraint credit_notes_pkey PRIMARY KEY (id),
  constraint credit_notes_number_key UNIQUE (number),
  constraint credit_notes_request_id_key UNIQUE (request_id),
  constraint credit_notes_amount_micro_usd_check CHECK (((amount_micro_usd > 0) AND ((amount_micro_usd % (10000)::bigint) = 0))),
  constraint credit_notes_number_check CHECK ((number > 0)),
  constraint credit_notes_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 500))),
  constraint credit_notes_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices(id)
);
CREATE INDEX credit_notes_tenant ON credit_notes USING btree (tenant_id, number);
CREATE TRIGGER credit_notes_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON credit_notes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Who changed what, and when. Append-only.
create table events (
  id bigint generated always as identity not null,
  at timestamp with time zone default now() not null,
  actor text not null,
  kind text not null,
  subject text not null,
  before jsonb,
  after jsonb,
  request_id text default ''::text not null,
  constraint events_pkey PRIMARY KEY (id)
);
CREATE INDEX events_at ON events USING brin (at) WITH (autosummarize='on');
CREATE INDEX events_subject ON events USING btree (subject, id);
CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What the outside reaches; several may run.
create table gateways (
  id text collate "C" not null,
  name text collate "C" not null,
  version text default ''::text not null,
  connected_at timestamp with time zone,
  last_seen_at timestamp with time zone,
  created_at timestamp with time zone default now() not null,
  revoked_at timestamp with time zone,
  revoked_reason text default ''::text not null,
  rejoined_at timestamp with time zone,
  certificate_ends_at timestamp with time zone,
  constraint gateways_pkey PRIMARY KEY (id),
  constraint gateways_id_check CHECK ((id ~ '^gtw_[0-9a-z]{26}$'::text))
);

-- What a month of a host costs, from when on. Never edited.
create table host_prices (
  host_id text collate "C" not null,
  active_from timestamp with time zone default now() not null,
  micro_usd_per_month bigint not null,
  constraint host_prices_pkey PRIMARY KEY (host_id, active_from),
  constraint host_prices_micro_usd_per_month_check CHECK (((micro_usd_per_month >= 0) AND (micro_usd_per_month <= '1000000000000'::bigint)))
);
CREATE TRIGGER host_prices_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON host_prices FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Questions to agents on their way between control processes. Lost in a crash, with who asked.
create table host_questions (
  id uuid not null,
  host_id text collate "C" not null,
  question json not null,
  taken_by uuid,
  answer json,
  fault json,
  asked_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone not null,
  constraint host_questions_pkey PRIMARY KEY (id),
  constraint host_questions_check CHECK (((answer IS NULL) OR (fault IS NULL))),
  constraint host_questions_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE
);
CREATE INDEX host_questions_expiry ON host_questions USING btree (expires_at);
CREATE INDEX host_questions_host ON host_questions USING btree (host_id) WHERE (taken_by IS NULL);

-- A machine with an agent: what it has, and what is promised of it.
create table hosts (
  id text collate "C" not null,
  name text collate "C" not null,
  region text collate "C" not null,
  status text default 'open'::text not null,
  boot_id text default ''::text not null,
  edge_address text default ''::text not null,
  fingerprint jsonb default '{}'::jsonb not null,
  engines text[] default '{}'::text[] not null,
  agent_version text default ''::text not null,
  capacity_memory_mib integer default 0 not null,
  capacity_cpu_millis integer default 0 not null,
  reserved_memory_mib integer default 0 not null,
  reserved_cpu_millis integer default 0 not null,
  session_token uuid,
  connected_at timestamp with time zone,
  last_seen_at timestamp with time zone,
  created_at timestamp with time zone default now() not null,
  labels jsonb default '{}'::jsonb not null,
  revoked_at timestamp with time zone,
  revoked_reason text default ''::text not null,
  rejoined_at timestamp with time zone,
  clock_offset_ms integer,
  capabilities text[] default '{}'::text[] not null,
  engines_under_floor text[] default '{}'::text[] not null,
  storage_mib bigint,
  free_storage_mib bigint,
  removed_at timestamp with time zone,
  disk_full boolean default false not null,
  constraint hosts_pkey PRIMARY KEY (id),
  constraint hosts_capacity_cpu_millis_check CHECK ((capacity_cpu_millis >= 0)),
  constraint hosts_capacity_memory_mib_check CHECK ((capacity_memory_mib >= 0)),
  constraint hosts_free_storage_mib_check CHECK ((free_storage_mib >= 0)),
  constraint hosts_id_check CHECK ((id ~ '^hst_[0-9a-z]{26}$'::text)),
  constraint hosts_labels_check CHECK ((jsonb_typeof(labels) = 'object'::text)),
  constraint hosts_name_check CHECK ((name <> ''::text)),
  constraint hosts_removed_check CHECK (((removed_at IS NULL) OR ((revoked_at IS NOT NULL) AND (reserved_memory_mib = 0) AND (reserved_cpu_millis = 0)))),
  constraint hosts_reserved_cpu_millis_check CHECK ((reserved_cpu_millis >= 0)),
  constraint hosts_reserved_memory_mib_check CHECK ((reserved_memory_mib >= 0)),
  constraint hosts_status_check CHECK ((status = ANY (ARRAY['open'::text, 'cordoned'::text]))),
  constraint hosts_storage_mib_check CHECK ((storage_mib >= 0)),
  constraint hosts_region_fkey FOREIGN KEY (region) REFERENCES regions(name)
);
CREATE UNIQUE INDEX hosts_name_key ON hosts USING btree (name) WHERE (removed_at IS NULL);
CREATE INDEX hosts_region ON hosts USING btree (region);
CREATE INDEX hosts_revoked ON hosts USING btree (id) WHERE (revoked_at IS NOT NULL);

-- Postgres servers, and the durable decision where each runs.
create table instances (
  id text collate "C" not null,
  host_id text collate "C" not null,
  placement_reason text not null,
  memory_mib integer not null,
  cpu_millis integer not null,
  region text collate "C" not null,
  shared boolean not null,
  engine_major integer not null,
  max_connections integer not null,
  max_tenants integer not null,
  tenant_count integer default 0 not null,
  presence text default 'present'::text not null,
  generation bigint not null,
  observed_generation bigint default 0 not null,
  observed_state text default 'unknown'::text not null,
  observed_reason text default ''::text not null,
  socket_directory text default ''::text not null,
  database text default ''::text not null,
  engine text default ''::text not null,
  system_identifier numeric(20,0) default 0 not null,
  route_generation bigint not null,
  created_at timestamp with time zone default now() not null,
  gone_at timestamp with time zone,
  storage_mib integer default 0 not null,
  pids_limit integer default 0 not null,
  importance integer default 0 not null,
  settings jsonb default '{}'::jsonb not null,
  restart_generation bigint default 0 not null,
  pending_restart text[] default '{}'::text[] not null,
  walls text[] default '{}'::text[] not null,
  shared_table_changes integer default 0 not null,
  parked boolean default false not null,
  end_number bigint default 0 not null,
  end_told_at timestamp with time zone,
  constraint instances_pkey PRIMARY KEY (id),
  constraint instances_check CHECK (((tenant_count >= 0) AND (tenant_count <= max_tenants))),
  constraint instances_check1 CHECK ((shared OR (max_tenants = 1))),
  constraint instances_check2 CHECK (((gone_at IS NULL) OR ((presence = 'absent'::text) AND (tenant_count = 0)))),
  constraint instances_cpu_millis_check CHECK ((cpu_millis > 0)),
  constraint instances_engine_major_check CHECK ((engine_major >= 15)),
  constraint instances_id_check CHECK ((id ~ '^ins_[0-9a-z]{26}$'::text)),
  constraint instances_importance_check CHECK (((importance >= 0) AND (importance <= 1000))),
  constraint instances_max_connections_check CHECK ((max_connections > 0)),
  constraint instances_max_tenants_check CHECK ((max_tenants > 0)),
  constraint instances_memory_mib_check CHECK ((memory_mib > 0)),
  constraint instances_observed_state_check CHECK ((observed_state = ANY (ARRAY['unknown'::text, 'starting'::text, 'running'::text, 'stopped'::text, 'failed'::text, 'absent'::text]))),
  constraint instances_pids_limit_check CHECK ((pids_limit >= 0)),
  constraint instances_presence_check CHECK ((presence = ANY (ARRAY['present'::text, 'absent'::text]))),
  constraint instances_settings_check CHECK ((jsonb_typeof(settings) = 'object'::text)),
  constraint instances_shared_table_changes_check CHECK ((shared_table_changes >= 0)),
  constraint instances_storage_mib_check CHECK ((storage_mib >= 0)),
  constraint instances_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id),
  constraint instances_region_fkey FOREIGN KEY (region) REFERENCES regions(name)
);
CREATE INDEX instances_gone ON instances USING btree (gone_at) WHERE (gone_at IS NOT NULL);
CREATE INDEX instances_host ON instances USING btree (host_id, generation) WHERE (gone_at IS NULL);
CREATE INDEX instances_route ON instances USING btree (route_generation);
CREATE INDEX instances_shared ON instances USING btree (region) WHERE (shared AND (presence = 'present'::text));

-- Closed invoices that are handed to whoever collects the money, or were.
create table invoice_deliveries (
  invoice_id text collate "C" not null,
  provider text not null,
  reference text,
  delivered_at timestamp with time zone,
  failures integer default 0 not null,
  last_error text,
  due_at timestamp with time zone default now() not null,
  constraint invoice_deliveries_pkey PRIMARY KEY (invoice_id),
  constraint invoice_deliveries_check CHECK (((delivered_at IS NULL) = (reference IS NULL))),
  constraint invoice_deliveries_failures_check CHECK ((failures >= 0)),
  constraint invoice_deliveries_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices(id)
);
CREATE INDEX invoice_deliveries_due ON invoice_deliveries USING btree (due_at) WHERE (delivered_at IS NULL);

-- What an invoice consists of, with all that each amount follows from.
create table invoice_lines (
  invoice_id text collate "C" not null,
  line smallint not null,
  kind text not null,
  subject text collate "C" not null,
  quantity numeric(38,0) not null,
  allowance numeric(38,0) not null,
  billable numeric(38,0) not null,
  micro_usd bigint not null,
  per numeric(38,0) not null,
  amount_micro_usd bigint not null,
  constraint invoice_lines_pkey PRIMARY KEY (invoice_id, line),
  constraint invoice_lines_allowance_check CHECK ((allowance >= (0)::numeric)),
  constraint invoice_lines_amount_micro_usd_check CHECK (((amount_micro_usd >= 0) AND ((amount_micro_usd % (10000)::bigint) = 0))),
  constraint invoice_lines_check CHECK ((billable = GREATEST((quantity - allowance), (0)::numeric))),
  constraint invoice_lines_kind_check CHECK ((kind = ANY (ARRAY['plan'::text, 'usage'::text]))),
  constraint invoice_lines_line_check CHECK ((line > 0)),
  constraint invoice_lines_micro_usd_check CHECK ((micro_usd >= 0)),
  constraint invoice_lines_per_check CHECK ((per > (0)::numeric)),
  constraint invoice_lines_quantity_check CHECK ((quantity >= (0)::numeric)),
  constraint invoice_lines_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices(id)
);
CREATE TRIGGER invoice_lines_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON invoice_lines FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The closed bill of each tenant and month. Never edited: credit notes correct.
create table invoices (
  id text collate "C" not null,
  number bigint not null,
  tenant_id text collate "C" not null,
  tenant_name text collate "C" not null,
  month timestamp with time zone not null,
  subtotal_micro_usd bigint not null,
  credit_micro_usd bigint not null,
  total_micro_usd bigint not null,
  inputs_sha256 text not null,
  closed_at timestamp with time zone default now() not null,
  constraint invoices_pkey PRIMARY KEY (id),
  constraint invoices_number_key UNIQUE (number),
  constraint invoices_tenant_id_month_key UNIQUE (tenant_id, month),
  constraint invoices_check CHECK (((credit_micro_usd >= 0) AND (credit_micro_usd <= subtotal_micro_usd))),
  constraint invoices_check1 CHECK ((total_micro_usd = (subtotal_micro_usd - credit_micro_usd))),
  constraint invoices_inputs_sha256_check CHECK ((inputs_sha256 ~ '^[0-9a-f]{64}$'::text)),
  constraint invoices_month_check CHECK ((month = date_trunc('month'::text, month, 'UTC'::text))),
  constraint invoices_number_check CHECK ((number > 0)),
  constraint invoices_subtotal_micro_usd_check CHECK ((subtotal_micro_usd >= 0))
);
CREATE INDEX invoices_month ON invoices USING btree (month, tenant_id);
CREATE TRIGGER invoices_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON invoices FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The newest proof of each tenant: what was checked, and of how much of it each rule holds.
create table isolation_proofs (
  tenant_id text not null,
  proven_at timestamp with time zone not null,
  engine text not null,
  proven boolean not null,
  rules jsonb not null,
  constraint isolation_proofs_pkey PRIMARY KEY (tenant_id),
  constraint isolation_proofs_rules_check CHECK ((jsonb_typeof(rules) = 'array'::text)),
  constraint isolation_proofs_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id) ON DELETE CASCADE
);

-- Single-use, expiring rights to become a host or a gateway.
create table join_tokens (
  id text collate "C" not null,
  kind text not null,
  region text collate "C",
  secret_sha256 bytea not null,
  expires_at timestamp with time zone not null,
  used_by text collate "C",
  public_key_sha256 bytea,
  created_at timestamp with time zone default now() not null,
  labels jsonb default '{}'::jsonb not null,
  rejoins text collate "C",
  used_at timestamp with time zone,
  revoked_at timestamp with time zone,
  constraint join_tokens_pkey PRIMARY KEY (id),
  constraint join_tokens_check CHECK (((kind = 'host'::text) = (region IS NOT NULL))),
  constraint join_tokens_check1 CHECK (((used_by IS NULL) = (public_key_sha256 IS NULL))),
  constraint join_tokens_kind_check CHECK ((kind = ANY (ARRAY['host'::text, 'gateway'::text]))),
  constraint join_tokens_labels_check CHECK ((jsonb_typeof(labels) = 'object'::text)),
  constraint join_tokens_public_key_sha256_check CHECK ((octet_length(public_key_sha256) = 32)),
  constraint join_tokens_secret_sha256_check CHECK ((octet_length(secret_sha256) = 32)),
  constraint join_tokens_region_fkey FOREIGN KEY (region) REFERENCES regions(name)
);
CREATE INDEX join_tokens_expiry ON join_tokens USING btree (expires_at);

-- Rights to use the API. Only a SHA-256 is kept.
create table keys (
  id text collate "C" not null,
  name text not null,
  sha256 bytea not null,
  scopes text[] not null,
  bootstrap boolean default false not null,
  created_at timestamp with time zone default now() not null,
  revoked_at timestamp with time zone,
  constraint keys_pkey PRIMARY KEY (id),
  constraint keys_id_check CHECK ((id ~ '^key_[0-9a-z]{26}$'::text)),
  constraint keys_name_check CHECK ((name <> ''::text)),
  constraint keys_scopes_check CHECK ((cardinality(scopes) > 0)),
  constraint keys_sha256_check CHECK ((octet_length(sha256) = 32))
);
CREATE UNIQUE INDEX keys_bootstrap ON keys USING btree (bootstrap) WHERE (bootstrap AND (revoked_at IS NULL));
CREATE UNIQUE INDEX keys_sha256 ON keys USING btree (sha256) WHERE (revoked_at IS NULL);

create table migrations (
  name text not null,
  sha256 text not null,
  ran_at timestamp with time zone default now() not null,
  constraint migrations_pkey PRIMARY KEY (name)
);

-- What an operation has done so far.
create table operation_steps (
  operation_id text collate "C" not null,
  "position" integer not null,
  name text not null,
  at timestamp with time zone default clock_timestamp() not null,
  constraint operation_steps_pkey PRIMARY KEY (operation_id, "position"),
  constraint operation_steps_position_check CHECK (("position" > 0)),
  constraint operation_steps_operation_id_fkey FOREIGN KEY (operation_id) REFERENCES operations(id) ON DELETE CASCADE
);

-- The caller's view of changes that take a while.
create table operations (
  id text collate "C" not null,
  kind text not null,
  tenant_id text collate "C" not null,
  principal text not null,
  request_id text,
  request_sha256 bytea,
  generation bigint not null,
  error text default ''::text not null,
  created_at timestamp with time zone default now() not null,
  deadline_at timestamp with time zone not null,
  done_at timestamp with time zone,
  constraint operations_pkey PRIMARY KEY (id),
  constraint operations_check CHECK (((request_id IS NULL) = (request_sha256 IS NULL))),
  constraint operations_id_check CHECK ((id ~ '^op_[0-9a-z]{26}$'::text)),
  constraint operations_kind_check CHECK ((kind = ANY (ARRAY['create_tenant'::text, 'delete_tenant'::text, 'rotate_credentials'::text, 'suspend_tenant'::text, 'reinstate_tenant'::text]))),
  constraint operations_request_sha256_check CHECK ((octet_length(request_sha256) = 32)),
  constraint operations_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id) ON DELETE CASCADE
);
CREATE INDEX operations_deadline ON operations USING btree (deadline_at) WHERE (done_at IS NULL);
CREATE UNIQUE INDEX operations_open ON operations USING btree (tenant_id) WHERE (done_at IS NULL);
CREATE UNIQUE INDEX operations_request ON operations USING btree (principal, request_id) WHERE (request_id IS NOT NULL);
CREATE INDEX operations_tenant ON operations USING btree (tenant_id, id);

-- What those who collect money call the tenants.
create table payers (
  tenant_id text collate "C" not null,
  provider text not null,
  reference text not null,
  constraint payers_pkey PRIMARY KEY (tenant_id, provider)
);

-- What the base price of a plan includes. A meter without a row: nothing.
create table plan_allowances (
  plan text collate "C" not null,
  active_from timestamp with time zone not null,
  meter text collate "C" not null,
  units bigint not null,
  constraint plan_allowances_pkey PRIMARY KEY (plan, active_from, meter),
  constraint plan_allowances_units_check CHECK ((units >= 0)),
  constraint plan_allowances_plan_active_from_fkey FOREIGN KEY (plan, active_from) REFERENCES plan_prices(plan, active_from)
);
CREATE TRIGGER plan_allowances_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON plan_allowances FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What a month on a plan costs, by the month from which on. Never edited.
create table plan_prices (
  plan text collate "C" not null,
  active_from timestamp with time zone not null,
  base_price_micro_usd bigint not null,
  created_at timestamp with time zone default now() not null,
  constraint plan_prices_pkey PRIMARY KEY (plan, active_from),
  constraint plan_prices_active_from_check CHECK ((active_from = date_trunc('month'::text, active_from, 'UTC'::text))),
  constraint plan_prices_base_price_micro_usd_check CHECK (((base_price_micro_usd >= 0) AND (base_price_micro_usd <= '1000000000000'::bigint))),
  constraint plan_prices_plan_fkey FOREIGN KEY (plan) REFERENCES plans(name)
);
CREATE TRIGGER plan_prices_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON plan_prices FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What availability a plan promises, by the month from which on. A plan without promises none.
create table plan_promises (
  plan text collate "C" not null,
  active_from timestamp with time zone not null,
  available_millionths integer not null,
  created_at timestamp with time zone default now() not null,
  constraint plan_promises_pkey PRIMARY KEY (plan, active_from),
  constraint plan_promises_active_from_check CHECK ((active_from = date_trunc('month'::text, active_from, 'UTC'::text))),
  constraint plan_promises_available_millionths_check CHECK (((available_millionths >= 1) AND (available_millionths <= 999999))),
  constraint plan_promises_plan_fkey FOREIGN KEY (plan) REFERENCES plans(name)
);
CREATE TRIGGER plan_promises_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON plan_promises FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The commercial offer: quotas, allowed isolation, resources, base price.
create table plans (
  name text collate "C" not null,
  sort_order integer not null,
  isolations text[] not null,
  default_isolation text not null,
  storage_bytes bigint,
  api_requests_per_month bigint,
  file_storage_bytes bigint,
  realtime_connections bigint,
  connection_limit integer not null,
  memory_mib integer not null,
  cpu_millis integer not null,
  base_price_micro_usd bigint not null,
  storage_mib integer default 0 not null,
  pids_limit integer default 0 not null,
  importance integer default 0 not null,
  required_capabilities text[] default '{}'::text[] not null,
  constraint plans_pkey PRIMARY KEY (name),
  constraint plans_sort_order_key UNIQUE (sort_order),
  constraint plans_api_requests_per_month_check CHECK ((api_requests_per_month >= 0)),
  constraint plans_base_price_micro_usd_check CHECK ((base_price_micro_usd >= 0)),
  constraint plans_check CHECK ((default_isolation = ANY (isolations))),
  constraint plans_connection_limit_check CHECK (((connection_limit >= 1) AND (connection_limit <= 10000))),
  constraint plans_cpu_millis_check CHECK ((cpu_millis > 0)),
  constraint plans_file_storage_bytes_check CHECK ((file_storage_bytes >= 0)),
  constraint plans_importance_check CHECK (((importance >= 0) AND (importance <= 1000))),
  constraint plans_isolations_check CHECK (((cardinality(isolations) > 0) AND (isolations <@ ARRAY['schema'::text, 'database'::text, 'cluster'::text]))),
  constraint plans_memory_mib_check CHECK ((memory_mib > 0)),
  constraint plans_name_check CHECK ((name ~ '^[a-z][a-z0-9-]{0,62}$'::text)),
  constraint plans_pids_limit_check CHECK ((pids_limit >= 0)),
  constraint plans_realtime_connections_check CHECK ((realtime_connections >= 0)),
  constraint plans_storage_bytes_check CHECK ((storage_bytes >= 0)),
  constraint plans_storage_mib_check CHECK ((storage_mib >= 0))
);

-- One row: the counter that stamps every change of desired state.
create table platform (
  one boolean default true not null,
  generation bigint default 1 not null,
  constraint platform_pkey PRIMARY KEY (one),
  constraint platform_generation_check CHECK ((generation > 0)),
  constraint platform_one_check CHECK (one)
);

-- After how long at a quota tenants are suspended, where that differs from the platform.
create table quota_graces (
  tenant_id text collate "C" not null,
  grace_seconds bigint,
  constraint quota_graces_pkey PRIMARY KEY (tenant_id),
  constraint quota_graces_grace_seconds_check CHECK (((grace_seconds >= 0) AND (grace_seconds <= 315360000))),
  constraint quota_graces_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id) ON DELETE CASCADE
);

-- Quotas of tenants that differ from those of their plans.
create table quota_overrides (
  tenant_id text collate "C" not null,
  resource text not null,
  quota bigint,
  constraint quota_overrides_pkey PRIMARY KEY (tenant_id, resource),
  constraint quota_overrides_quota_check CHECK ((quota >= 0)),
  constraint quota_overrides_resource_check CHECK ((resource = ANY (ARRAY['storage_bytes'::text, 'api_requests_per_month'::text, 'file_storage_bytes'::text, 'realtime_connections'::text, 'spend_micro_usd_per_month'::text]))),
  constraint quota_overrides_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id) ON DELETE CASCADE
);

-- Who uses most of a quota, or all of it, and since when. Whoever has no row is well within.
create table quota_stages (
  tenant_id text collate "C" not null,
  resource text not null,
  stage text not null,
  since timestamp with time zone default now() not null,
  constraint quota_stages_pkey PRIMARY KEY (tenant_id, resource),
  constraint quota_stages_stage_check CHECK ((stage = ANY (ARRAY['warned'::text, 'reached'::text]))),
  constraint quota_stages_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id) ON DELETE CASCADE
);

-- What is asked for what a meter counts, by the month from which on. Never edited.
create table rates (
  meter text collate "C" not null,
  active_from timestamp with time zone not null,
  micro_usd bigint not null,
  per_units bigint not null,
  created_at timestamp with time zone default now() not null,
  constraint rates_pkey PRIMARY KEY (meter, active_from),
  constraint rates_active_from_check CHECK ((active_from = date_trunc('month'::text, active_from, 'UTC'::text))),
  constraint rates_micro_usd_check CHECK (((micro_usd >= 0) AND (micro_usd <= '1000000000000'::bigint))),
  constraint rates_per_units_check CHECK ((per_units > 0))
);
CREATE TRIGGER rates_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON rates FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Where hosts are; made when a join token first names it.
create table regions (
  name text collate "C" not null,
  created_at timestamp with time zone default now() not null,
  constraint regions_pkey PRIMARY KEY (name),
  constraint regions_name_check CHECK ((name ~ '^[a-z][a-z0-9-]{0,62}$'::text))
);

-- What the running month came to for each tenant when it was last derived. May be derived anew.
create table running_bills (
  tenant_id text collate "C" not null,
  month timestamp with time zone not null,
  subtotal_micro_usd bigint,
  credit_micro_usd bigint,
  derived_at timestamp with time zone default now() not null,
  constraint running_bills_pkey PRIMARY KEY (tenant_id),
  constraint running_bills_check CHECK (((credit_micro_usd >= 0) AND (credit_micro_usd <= subtotal_micro_usd))),
  constraint running_bills_check1 CHECK (((subtotal_micro_usd IS NULL) = (credit_micro_usd IS NULL))),
  constraint running_bills_month_check CHECK ((month = date_trunc('month'::text, month, 'UTC'::text))),
  constraint running_bills_subtotal_micro_usd_check CHECK ((subtotal_micro_usd >= 0))
);

-- What agents measured in the last days, each span once.
create table samples (
  host_id text collate "C" not null,
  sequence bigint not null,
  day smallint not null,
  subject text collate "C" not null,
  at timestamp with time zone not null,
  seconds integer not null,
  readings jsonb not null,
  statements jsonb,
  constraint samples_pkey PRIMARY KEY (host_id, sequence, day),
  constraint samples_day_check CHECK (((day >= 0) AND (day <= 3))),
  constraint samples_readings_check CHECK ((jsonb_typeof(readings) = 'object'::text)),
  constraint samples_seconds_check CHECK ((seconds > 0)),
  constraint samples_sequence_check CHECK ((sequence > 0)),
  constraint samples_statements_check CHECK ((jsonb_typeof(statements) = 'array'::text)),
  constraint samples_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE
) partition by LIST (day);
CREATE INDEX samples_subject ON ONLY samples USING btree (subject, at);

-- Every change of shared tables, in order. Never edited: every shared instance gets each once.
create table shared_table_changes (
  number integer not null,
  name text collate "C" not null,
  sql text not null,
  sha256 text not null,
  generation bigint not null,
  created_at timestamp with time zone default now() not null,
  constraint shared_table_changes_pkey PRIMARY KEY (number),
  constraint shared_table_changes_name_key UNIQUE (name),
  constraint shared_table_changes_name_check CHECK ((name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'::text)),
  constraint shared_table_changes_number_check CHECK ((number > 0)),
  constraint shared_table_changes_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text)),
  constraint shared_table_changes_sql_check CHECK (((octet_length(sql) >= 1) AND (octet_length(sql) <= 65536)))
);

-- Since when each tenant has been on which plan. Begins when it first served; outlives the tenant.
create table tenant_terms (
  tenant_id text collate "C" not null,
  from_at timestamp with time zone not null,
  plan text collate "C",
  tenant_name text collate "C" not null,
  isolation text not null,
  constraint tenant_terms_pkey PRIMARY KEY (tenant_id, from_at)
);
CREATE INDEX tenant_terms_from ON tenant_terms USING btree (from_at);
CREATE TRIGGER tenant_terms_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON tenant_terms FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Customers' logical Postgres. A deleted one stays a while as a row.
create table tenants (
  id text collate "C" not null,
  name text collate "C" not null,
  plan text collate "C" not null,
  region text collate "C" not null,
  isolation text not null,
  status text not null,
  status_reason text default ''::text not null,
  labels jsonb default '{}'::jsonb not null,
  instance_id text collate "C" not null,
  verifier text not null,
  connection_limit integer not null,
  generation bigint not null,
  observed_generation bigint default 0 not null,
  route_generation bigint not null,
  created_at timestamp with time zone default now() not null,
  updated_at timestamp with time zone default now() not null,
  deleted_at timestamp with time zone,
  extensions text[] default '{}'::text[] not null,
  suspend_reason text,
  quarantine_reason text,
  previous_verifier text default ''::text not null,
  writes_refused boolean default false not null,
  suspended_by_quota boolean default false not null,
  reinstated_at timestamp with time zone,
  constraint tenants_pkey PRIMARY KEY (id),
  constraint tenants_check CHECK (((status = 'deleted'::text) = (deleted_at IS NOT NULL))),
  constraint tenants_check1 CHECK (((status = 'deleted'::text) = (verifier = ''::text))),
  constraint tenants_connection_limit_check CHECK ((connection_limit > 0)),
  constraint tenants_id_check CHECK ((id ~ '^ten_[0-9a-z]{26}$'::text)),
  constraint tenants_isolation_check CHECK ((isolation = ANY (ARRAY['schema'::text, 'database'::text, 'cluster'::text]))),
  constraint tenants_labels_check CHECK ((jsonb_typeof(labels) = 'object'::text)),
  constraint tenants_name_check CHECK ((name ~ '^[a-z][a-z0-9-]{2,62}$'::text)),
  constraint tenants_quarantine_reason_check CHECK ((quarantine_reason <> ''::text)),
  constraint tenants_status_check CHECK ((status = ANY (ARRAY['creating'::text, 'active'::text, 'suspended'::text, 'failed'::text, 'deleting'::text, 'deleted'::text]))),
  constraint tenants_suspend_reason_check CHECK (((suspend_reason IS NULL) OR ((suspend_reason <> ''::text) AND (status = 'suspended'::text)))),
  constraint tenants_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES instances(id),
  constraint tenants_plan_fkey FOREIGN KEY (plan) REFERENCES plans(name),
  constraint tenants_region_fkey FOREIGN KEY (region) REFERENCES regions(name)
);
CREATE INDEX tenants_instance ON tenants USING btree (instance_id, generation) WHERE (deleted_at IS NULL);
CREATE INDEX tenants_living ON tenants USING btree (id) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX tenants_name ON tenants USING btree (name) WHERE (deleted_at IS NULL);
CREATE INDEX tenants_plan ON tenants USING btree (plan, id) WHERE (deleted_at IS NULL);
CREATE INDEX tenants_route ON tenants USING btree (route_generation);
CREATE INDEX tenants_status ON tenants USING btree (status, id) WHERE (status <> 'active'::text);
CREATE INDEX tenants_suspended_by_quota ON tenants USING btree (id) WHERE suspended_by_quota;
CREATE TRIGGER tenants_terms AFTER INSERT OR UPDATE OF status, plan ON tenants FOR EACH ROW EXECUTE FUNCTION keep_tenant_terms();

-- When nobody got through to a tenant, by cause. Outlives the tenant.
create table unreached_times (
  tenant_id text collate "C" not null,
  month timestamp with time zone not null,
  cause text collate "C" not null,
  times tstzmultirange not null,
  last_at timestamp with time zone default upper(times) not null,
  constraint unreached_times_pkey PRIMARY KEY (month, tenant_id, cause),
  constraint unreached_times_month_check CHECK ((month = date_trunc('month'::text, month, 'UTC'::text)))
);
CREATE INDEX unreached_times_last ON unreached_times USING btree (last_at);

-- Events that were taken in and from which no usage records follow yet. Emptied by the roll-up.
create table usage_batches (
  id bigint generated always as identity not null,
  source text collate "C" not null,
  first_sequence bigint not null,
  last_sequence bigint not null,
  first_ended_at timestamp with time zone not null,
  last_ended_at timestamp with time zone not null,
  constraint usage_batches_pkey PRIMARY KEY (id),
  constraint usage_batches_check CHECK ((last_sequence >= first_sequence)),
  constraint usage_batches_check1 CHECK ((last_ended_at >= first_ended_at))
);

-- The ledger of usage: readings of meters, each once. Append-only, a partition for each month.
create table usage_events (
  source text collate "C" not null,
  sequence bigint not null,
  meter text not null,
  tenant_id text collate "C" not null,
  value bigint not null,
  started_at timestamp with time zone not null,
  ended_at timestamp with time zone not null,
  received_at timestamp with time zone default now() not null,
  constraint usage_events_pkey PRIMARY KEY (source, sequence, ended_at),
  constraint usage_events_check1 CHECK ((ended_at >= started_at)),
  constraint usage_events_sequence_check1 CHECK ((sequence > 0)),
  constraint usage_events_value_check1 CHECK ((value >= 0))
) partition by RANGE (ended_at);
CREATE INDEX usage_events_tenant ON ONLY usage_events USING btree (tenant_id, meter, ended_at);
CREATE TRIGGER usage_events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON usage_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What each gauge of each tenant was when it was last read.
create table usage_gauges (
  tenant_id text collate "C" not null,
  meter text not null,
  value bigint not null,
  read_at timestamp with time zone not null,
  rolled_up_to timestamp with time zone not null,
  constraint usage_gauges_pkey PRIMARY KEY (tenant_id, meter)
);

-- What each tenant used in each hour, by meter. Follows from the ledger, and can be derived anew.
create table usage_records (
  tenant_id text collate "C" not null,
  meter text not null,
  hour timestamp with time zone not null,
  amount numeric(38,0) not null,
  constraint usage_records_pkey PRIMARY KEY (tenant_id, meter, hour),
  constraint usage_records_amount_check CHECK ((amount >= (0)::numeric)),
  constraint usage_records_hour_check CHECK ((hour = date_trunc('hour'::text, hour, 'UTC'::text)))
) partition by RANGE (hour);

-- How far the events of each host and gateway were taken in.
create table usage_sources (
  source text collate "C" not null,
  sequence bigint not null,
  refused bigint default 0 not null,
  received_at timestamp with time zone default now() not null,
  constraint usage_sources_pkey PRIMARY KEY (source),
  constraint usage_sources_refused_check CHECK ((refused >= 0)),
  constraint usage_sources_sequence_check CHECK ((sequence >= 0))
);

-- Blank instances that run on a host and wait; a row is taken by the tenant that gets one.
create table warm_instances (
  id text collate "C" not null,
  host_id text collate "C" not null,
  engine_major integer not null,
  max_connections integer not null,
  memory_mib integer not null,
  cpu_millis integer not null,
  storage_mib integer not null,
  pids_limit integer not null,
  reported_at timestamp with time zone default now() not null,
  constraint warm_instances_pkey PRIMARY KEY (id),
  constraint warm_instances_id_check CHECK ((id ~ '^ins_[0-9a-z]{26}$'::text)),
  constraint warm_instances_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE
);
CREATE INDEX warm_instances_host ON warm_instances USING btree (host_id);

-- When each gateway found out of every tenant whether clients get through. Of the rest nothing is known.
create table watched_times (
  gateway_id text collate "C" not null,
  month timestamp with time zone not null,
  times tstzmultirange not null,
  constraint watched_times_pkey PRIMARY KEY (gateway_id, month),
  constraint watched_times_month_check CHECK ((month = date_trunc('month'::text, month, 'UTC'::text))),
  constraint watched_times_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES gateways(id) ON DELETE CASCADE
);

create view quota_standings as
 SELECT t.id AS tenant_id,
    t.name AS tenant_name,
    r.resource,
        CASE
            WHEN (o.tenant_id IS NULL) THEN r.planned
            ELSE o.quota
        END AS quota,
    (o.tenant_id IS NOT NULL) AS overridden,
    (LEAST(COALESCE(u.used, (0)::numeric), ('9223372036854775807'::bigint)::numeric))::bigint AS used,
    u.at AS used_at,
    COALESCE(s.stage, 'within'::text) AS stage,
    s.since
   FROM (((((tenants t
     JOIN plans p ON ((p.name = t.plan)))
     CROSS JOIN LATERAL ( VALUES ('storage_bytes'::text,p.storage_bytes), ('api_requests_per_month'::text,p.api_requests_per_month), ('file_storage_bytes'::text,p.file_storage_bytes), ('realtime_connections'::text,p.realtime_connections), ('spend_micro_usd_per_month'::text,NULL::bigint)) r(resource, planned))
     LEFT JOIN quota_overrides o ON (((o.tenant_id = t.id) AND (o.resource = r.resource))))
     LEFT JOIN quota_stages s ON (((s.tenant_id = t.id) AND (s.resource = r.resource))))
     LEFT JOIN LATERAL ( SELECT (g.value)::numeric AS used,
            g.read_at AS at
           FROM usage_gauges g
          WHERE ((g.tenant_id = t.id) AND (g.meter =
                CASE r.resource
                    WHEN 'storage_bytes'::text THEN 'storage_bytes'::text
                    WHEN 'file_storage_bytes'::text THEN 'file_bytes'::text
                    ELSE NULL::text
                END))
        UNION ALL
         SELECT sum(e.amount) AS sum,
            max(e.hour) AS max
           FROM usage_records e
          WHERE ((r.resource = 'api_requests_per_month'::text) AND (e.tenant_id = t.id) AND (e.meter = 'api_requests'::text) AND (e.hour >= date_trunc('month'::text, now(), 'UTC'::text)))
         HAVING (count(*) > 0)
        UNION ALL
         SELECT max(e.amount) AS max,
            max(e.hour) AS max
           FROM usage_records e
          WHERE ((r.resource = 'realtime_connections'::text) AND (e.tenant_id = t.id) AND (e.meter = 'realtime_connections_peak'::text) AND (e.hour >= date_trunc('hour'::text, (now() - '01:00:00'::interval), 'UTC'::text)))
         HAVING (count(*) > 0)
        UNION ALL
         SELECT b.subtotal_micro_usd,
            b.derived_at
           FROM running_bills b
          WHERE ((r.resource = 'spend_micro_usd_per_month'::text) AND (b.tenant_id = t.id) AND (b.month = date_trunc('month'::text, now(), 'UTC'::text)) AND (b.subtotal_micro_usd IS NOT NULL))) u ON (true))
  WHERE (t.status = ANY (ARRAY['active'::text, 'suspended'::text]));
-- plans holds from the start:
--   {"name":"free","sort_order":1,"isolations":["schema"],"default_isolation":"schema","storage_bytes":524288000,"api_requests_per_month":10000,"file_storage_bytes":1073741824,"realtime_connections":100,"connection_limit":20,"memory_mib":128,"cpu_millis":100,"base_price_micro_usd":0,"storage_mib":500,"pids_limit":0,"importance":100,"required_capabilities":[]}
--   {"name":"pro","sort_order":2,"isolations":["schema","database"],"default_isolation":"database","storage_bytes":107374182400,"api_requests_per_month":1000000,"file_storage_bytes":107374182400,"realtime_connections":10000,"connection_limit":100,"memory_mib":128,"cpu_millis":100,"base_price_micro_usd":25000000,"storage_mib":102400,"pids_limit":0,"importance":200,"required_capabilities":[]}
--   {"name":"enterprise","sort_order":3,"isolations":["schema","database","cluster"],"default_isolation":"cluster","storage_bytes":null,"api_requests_per_month":null,"file_storage_bytes":null,"realtime_connections":null,"connection_limit":500,"memory_mib":1024,"cpu_millis":1000,"base_price_micro_usd":599000000,"storage_mib":0,"pids_limit":0,"importance":300,"required_capabilities":[]}

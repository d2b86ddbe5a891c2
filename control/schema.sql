-- The catalogue as control/migrations/ leave it, for review. Made by `npm run generate`.
-- Never edited and never run: change the schema by a new migration.

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
CREATE OR REPLACE FUNCTION public.limited_because(tenant tenants)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
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
  constraint gateways_pkey PRIMARY KEY (id),
  constraint gateways_id_check CHECK ((id ~ '^gtw_[0-9a-z]{26}$'::text))
);

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

-- Where hosts are; made when a join token first names it.
create table regions (
  name text collate "C" not null,
  created_at timestamp with time zone default now() not null,
  constraint regions_pkey PRIMARY KEY (name),
  constraint regions_name_check CHECK ((name ~ '^[a-z][a-z0-9-]{0,62}$'::text))
);

create table samples_0 (
  host_id text collate "C" not null,
  sequence bigint not null,
  day smallint not null,
  subject text collate "C" not null,
  at timestamp with time zone not null,
  seconds integer not null,
  readings jsonb not null,
  statements jsonb,
  constraint samples_0_pkey PRIMARY KEY (host_id, sequence, day),
  constraint samples_day_check CHECK (((day >= 0) AND (day <= 3))),
  constraint samples_readings_check CHECK ((jsonb_typeof(readings) = 'object'::text)),
  constraint samples_seconds_check CHECK ((seconds > 0)),
  constraint samples_sequence_check CHECK ((sequence > 0)),
  constraint samples_statements_check CHECK ((jsonb_typeof(statements) = 'array'::text)),
  constraint samples_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE
);
CREATE INDEX samples_0_subject_at_idx ON samples_0 USING btree (subject, at);

create table samples_1 (
  host_id text collate "C" not null,
  sequence bigint not null,
  day smallint not null,
  subject text collate "C" not null,
  at timestamp with time zone not null,
  seconds integer not null,
  readings jsonb not null,
  statements jsonb,
  constraint samples_1_pkey PRIMARY KEY (host_id, sequence, day),
  constraint samples_day_check CHECK (((day >= 0) AND (day <= 3))),
  constraint samples_readings_check CHECK ((jsonb_typeof(readings) = 'object'::text)),
  constraint samples_seconds_check CHECK ((seconds > 0)),
  constraint samples_sequence_check CHECK ((sequence > 0)),
  constraint samples_statements_check CHECK ((jsonb_typeof(statements) = 'array'::text)),
  constraint samples_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE
);
CREATE INDEX samples_1_subject_at_idx ON samples_1 USING btree (subject, at);

create table samples_2 (
  host_id text collate "C" not null,
  sequence bigint not null,
  day smallint not null,
  subject text collate "C" not null,
  at timestamp with time zone not null,
  seconds integer not null,
  readings jsonb not null,
  statements jsonb,
  constraint samples_2_pkey PRIMARY KEY (host_id, sequence, day),
  constraint samples_day_check CHECK (((day >= 0) AND (day <= 3))),
  constraint samples_readings_check CHECK ((jsonb_typeof(readings) = 'object'::text)),
  constraint samples_seconds_check CHECK ((seconds > 0)),
  constraint samples_sequence_check CHECK ((sequence > 0)),
  constraint samples_statements_check CHECK ((jsonb_typeof(statements) = 'array'::text)),
  constraint samples_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE
);
CREATE INDEX samples_2_subject_at_idx ON samples_2 USING btree (subject, at);

create table samples_3 (
  host_id text collate "C" not null,
  sequence bigint not null,
  day smallint not null,
  subject text collate "C" not null,
  at timestamp with time zone not null,
  seconds integer not null,
  readings jsonb not null,
  statements jsonb,
  constraint samples_3_pkey PRIMARY KEY (host_id, sequence, day),
  constraint samples_day_check CHECK (((day >= 0) AND (day <= 3))),
  constraint samples_readings_check CHECK ((jsonb_typeof(readings) = 'object'::text)),
  constraint samples_seconds_check CHECK ((seconds > 0)),
  constraint samples_sequence_check CHECK ((sequence > 0)),
  constraint samples_statements_check CHECK ((jsonb_typeof(statements) = 'array'::text)),
  constraint samples_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE
);
CREATE INDEX samples_3_subject_at_idx ON samples_3 USING btree (subject, at);

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

-- Readings of meters, each once. Append-only.
create table usage_events (
  source text collate "C" not null,
  sequence bigint not null,
  meter text not null,
  tenant_id text collate "C" not null,
  value bigint not null,
  started_at timestamp with time zone not null,
  ended_at timestamp with time zone not null,
  received_at timestamp with time zone default now() not null,
  constraint usage_events_pkey PRIMARY KEY (source, sequence),
  constraint usage_events_check CHECK ((ended_at >= started_at)),
  constraint usage_events_sequence_check CHECK ((sequence > 0)),
  constraint usage_events_value_check CHECK ((value >= 0))
);
CREATE INDEX usage_events_tenant ON usage_events USING btree (tenant_id, meter, ended_at);
CREATE TRIGGER usage_events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON usage_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

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
-- plans holds from the start:
--   {"name":"free","sort_order":1,"isolations":["schema"],"default_isolation":"schema","storage_bytes":524288000,"api_requests_per_month":10000,"file_storage_bytes":1073741824,"realtime_connections":100,"connection_limit":20,"memory_mib":128,"cpu_millis":100,"base_price_micro_usd":0,"storage_mib":500,"pids_limit":0,"importance":100,"required_capabilities":[]}
--   {"name":"pro","sort_order":2,"isolations":["schema","database"],"default_isolation":"database","storage_bytes":107374182400,"api_requests_per_month":1000000,"file_storage_bytes":107374182400,"realtime_connections":10000,"connection_limit":100,"memory_mib":128,"cpu_millis":100,"base_price_micro_usd":25000000,"storage_mib":102400,"pids_limit":0,"importance":200,"required_capabilities":[]}
--   {"name":"enterprise","sort_order":3,"isolations":["schema","database","cluster"],"default_isolation":"cluster","storage_bytes":null,"api_requests_per_month":null,"file_storage_bytes":null,"realtime_connections":null,"connection_limit":500,"memory_mib":1024,"cpu_millis":1000,"base_price_micro_usd":599000000,"storage_mib":0,"pids_limit":0,"importance":300,"required_capabilities":[]}

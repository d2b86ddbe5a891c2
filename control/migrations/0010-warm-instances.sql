-- Instances that hosts keep running before a tenant asks for one.

create table warm_instances (
  id text collate "C" primary key check (id ~ '^ins_[0-9a-z]{26}$'),
  host_id text collate "C" not null references hosts on delete cascade,
  -- The shape it was made with: an instance of a tenant is given one of its own shape only.
  engine_major integer not null,
  max_connections integer not null,
  memory_mib integer not null,
  cpu_millis integer not null,
  storage_mib integer not null,
  pids_limit integer not null,
  reported_at timestamptz not null default now()
);

comment on table warm_instances is
  'Blank instances that run on a host and wait; a row is taken by the tenant that gets one.';
create index warm_instances_host on warm_instances (host_id);

-- Takes one that the host keeps ready for the very shape that is asked for; null when there is none.
create function take_warm_instance(host text, asked instances) returns text
language sql volatile as $$
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
$$;

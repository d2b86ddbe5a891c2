-- What hosts can do, and what plans and instances ask of them.

alter table hosts
  -- What placements may ask for, as the agent found out.
  add column capabilities text[] not null default '{}',
  -- Engines it has and, in production, may not run: each with its floor.
  add column engines_under_floor text[] not null default '{}',
  -- Of the file system that holds the instances. Null until the agent has told.
  add column storage_mib bigint check (storage_mib >= 0),
  add column free_storage_mib bigint check (free_storage_mib >= 0);

-- What earlier versions kept has another form; agents tell it all when they dial.
update hosts set fingerprint = '{}';

comment on column hosts.fingerprint is 'Facts of the agent about its host; blank until it dials.';

alter table plans
  -- Of a dedicated instance: the most its data may take, and its processes. 0: no limit, and as many
  -- as its connections need.
  add column storage_mib integer not null default 0 check (storage_mib >= 0),
  add column pids_limit integer not null default 0 check (pids_limit >= 0),
  -- Whose instances a host starts first when it has many to start: higher is sooner.
  add column importance integer not null default 0 check (importance between 0 and 1000),
  -- What hosts of its tenants must be able to do. Empty: it runs anywhere, on a laptop too.
  add column required_capabilities text[] not null default '{}';

-- The quota, where there is one: what is held against it is measured, and this is where it ends.
update plans set storage_mib = coalesce(storage_bytes / 1048576, 0);
update plans set importance = case name when 'free' then 100 when 'pro' then 200
                                        when 'enterprise' then 300 else 0 end;

alter table instances
  add column storage_mib integer not null default 0 check (storage_mib >= 0),
  add column pids_limit integer not null default 0 check (pids_limit >= 0),
  add column importance integer not null default 0 check (importance between 0 and 1000);

-- Instances that are there keep the storage they were made with; only their order is new.
update platform set generation = generation + 1;
update instances i
   set importance = case when i.shared then 400 else coalesce((
         select p.importance from tenants t join plans p on p.name = t.plan
          where t.instance_id = i.id and t.deleted_at is null), 0) end,
       generation = platform.generation
  from platform
 where i.gone_at is null;

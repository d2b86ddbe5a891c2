-- A tenant says why its instance cannot be had, as its host does.

create or replace function unreachable_because(instance text) returns text language sql stable as $$
  select coalesce((
    select case
             when h.revoked_at is not null
               then 'Unreachable: its host was revoked and has not joined again.'
             when i.observed_state <> 'failed' or i.presence = 'absent' then ''
             -- What a host says of a shared instance may be about another tenant of it.
             when i.shared then 'Unreachable: its shared instance does not run at the moment.'
             else 'Unreachable: ' || i.observed_reason
           end
      from hosts h join instances i on i.host_id = h.id
     where i.id = instance), '')
$$;

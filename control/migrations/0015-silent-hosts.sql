-- A tenant says when its host has fallen silent: it may be reached all the same, or not.

create or replace function unreachable_because(instance text) returns text language sql stable as $$
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
$$;

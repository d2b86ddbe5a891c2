-- A gateway that read twice in a minute, as one that is restarted, had the higher of the two.
create or replace function counted_in_hours(
  tenant_ids text[], meters text[], hours timestamptz[], peaks text[]
) returns table (tenant_id text, meter text, hour timestamptz, amount numeric)
language sql stable as $$
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
$$;

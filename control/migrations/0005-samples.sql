-- What agents measure, for some days: operational figures, not what is billed.

create table samples (
  -- Who measured. It numbers what it sends; a repeat changes nothing.
  host_id text collate "C" not null references hosts on delete cascade,
  sequence bigint not null check (sequence > 0),
  -- Days take turns in four tables, and the oldest is emptied at once. It follows from the time of
  -- the sample, so that a repeat meets itself.
  day smallint not null check (day between 0 and 3),
  -- Whom it is of: a tenant of a shared instance, an instance, or the host itself.
  subject text collate "C" not null,
  at timestamptz not null,
  seconds integer not null check (seconds > 0),
  readings jsonb not null check (jsonb_typeof(readings) = 'object'),
  statements jsonb check (jsonb_typeof(statements) = 'array'),
  primary key (host_id, sequence, day)
) partition by list (day);

comment on table samples is 'What agents measured in the last days, each span once.';
create index samples_subject on samples (subject, at);

create table samples_0 partition of samples for values in (0);
create table samples_1 partition of samples for values in (1);
create table samples_2 partition of samples for values in (2);
create table samples_3 partition of samples for values in (3);

create function day_of_sample(at timestamptz) returns smallint language sql immutable as $$
  select (floor(extract(epoch from at) / 86400)::bigint % 4)::smallint
$$;

comment on function day_of_sample is 'Which of the four tables a sample belongs to.';

-- Tomorrow's table still holds what is more than two days old.
create function empty_tomorrows_samples() returns boolean language plpgsql as $$
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
end $$;

comment on function empty_tomorrows_samples is 'Makes room for the samples of tomorrow.';

-- What one control process asks of a host whose agent is connected to another.

create unlogged table host_questions (
  id uuid primary key,
  host_id text collate "C" not null references hosts on delete cascade,
  question json not null,
  -- Session that took it: the agent is asked once, by the process that holds its stream.
  taken_by uuid,
  -- One of both once it was answered: what was said, or the fault there was.
  answer json,
  fault json,
  asked_at timestamptz not null default now(),
  -- Nobody waits for the answer after this.
  expires_at timestamptz not null,
  check (answer is null or fault is null)
);

comment on table host_questions is
  'Questions to agents on their way between control processes. Lost in a crash, with who asked.';
create index host_questions_host on host_questions (host_id) where taken_by is null;
create index host_questions_expiry on host_questions (expires_at);

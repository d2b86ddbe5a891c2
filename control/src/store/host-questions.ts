/** Questions to agents that are connected to another control process, and their answers. */
import { type Db, sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";

/** A fault as it is written down. */
export interface WrittenFault {
  readonly code: string;
  readonly message: string;
}

export interface TakenQuestion {
  readonly id: string;
  readonly question: unknown;
}

/**
 * Writes a question and wakes the process that holds the host's stream. False when no agent of the
 * host is connected. Also drops what nobody waits for any more.
 */
export async function insertQuestion(
  db: Db,
  ask: {
    readonly id: string;
    readonly hostId: HostId;
    readonly question: object;
    readonly waitSeconds: number;
  },
): Promise<boolean> {
  const asked = await db.query(sql`
    with stale as (
      delete from host_questions where expires_at < now() - interval '1 minute'
    ), asked as (
      insert into host_questions (id, host_id, question, expires_at)
      select ${ask.id}, id, ${JSON.stringify(ask.question)}::json,
             now() + make_interval(secs => ${ask.waitSeconds})
        from hosts
       where id = ${ask.hostId} and session_token is not null
         and last_seen_at > now() - interval '45 seconds'
      returning host_id
    )
    select pg_notify('aerodb_questions', host_id) from asked`);
  return asked.length === 1;
}

/** Takes the questions that wait for a session, each once. None when a newer session took over. */
export async function takeQuestions(
  db: Db,
  hostId: HostId,
  token: string,
): Promise<TakenQuestion[]> {
  return db.query<TakenQuestion>(sql`
    update host_questions q set taken_by = h.session_token
      from hosts h
     where h.id = ${hostId} and h.session_token = ${token}
       and q.host_id = h.id and q.taken_by is null and q.expires_at > now()
    returning q.id, q.question`);
}

/** Writes the answer down and wakes who asked. Nothing happens when nobody waits any more. */
export async function answerQuestion(
  db: Db,
  id: string,
  said: { readonly answer: object } | { readonly fault: WrittenFault },
): Promise<void> {
  const answer = "answer" in said ? JSON.stringify(said.answer) : null;
  const fault = "fault" in said ? JSON.stringify(said.fault) : null;
  await db.query(sql`
    with answered as (
      update host_questions set answer = ${answer}::json, fault = ${fault}::json
       where id = ${id} and answer is null and fault is null
      returning id
    )
    select pg_notify('aerodb_answers', id::text) from answered`);
}

/** What was said to a question; undefined while nothing was. */
export async function readAnswer(
  db: Db,
  id: string,
): Promise<{ readonly answer: unknown; readonly fault: WrittenFault | null } | undefined> {
  const [row] = await db.query<{ answer: unknown; fault: WrittenFault | null }>(sql`
    select answer, fault from host_questions
     where id = ${id} and (answer is not null or fault is not null)`);
  return row;
}

export async function deleteQuestion(db: Db, id: string): Promise<void> {
  await db.query(sql`delete from host_questions where id = ${id}`);
}

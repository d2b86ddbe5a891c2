import { type Db, sql } from "@aerodb/db";

/** One line of the log of changes. */
export interface Event {
  readonly id: bigint;
  readonly at: Date;
  /** Id of a key, of a host or of a gateway, or `system`. */
  readonly actor: string;
  readonly kind: string;
  readonly subject: string;
  readonly before: Readonly<Record<string, unknown>> | null;
  readonly after: Readonly<Record<string, unknown>> | null;
  readonly requestId: string;
}

/**
 * A page of events, newest first: those with ids below `below`; null is the first page. An empty
 * filter lets all through; a kind that ends with a dot stands for all that begin with it.
 */
export function listEvents(
  db: Db,
  query: {
    readonly subject: string;
    readonly kind: string;
    readonly actor: string;
    /** Null lets all through. */
    readonly since: Date | null;
    readonly until: Date | null;
    readonly below: bigint | null;
    readonly limit: number;
  },
): Promise<Event[]> {
  const { subject, kind, actor, since, until, below, limit } = query;
  return db.query<Event>(sql`
    select id, at, actor, kind, subject, before, after, request_id as "requestId"
      from events
     where (${subject} = '' or subject = ${subject})
       and (${kind} = '' or kind = ${kind}
            or right(${kind}, 1) = '.' and starts_with(kind, ${kind}))
       and (${actor} = '' or actor = ${actor})
       and (${since}::timestamptz is null or at >= ${since})
       and (${until}::timestamptz is null or at < ${until})
       and (${below}::bigint is null or id < ${below})
     order by id desc limit ${limit}`);
}

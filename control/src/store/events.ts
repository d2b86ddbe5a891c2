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
export async function listEvents(
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
  const rows = await db.query<Row>(sql`
    select id, at, actor, kind, subject, before::text, after::text, request_id as "requestId"
      from events
     where (${subject} = '' or subject = ${subject})
       and (${kind} = '' or kind = ${kind}
            or right(${kind}, 1) = '.' and starts_with(kind, ${kind}))
       and (${actor} = '' or actor = ${actor})
       and (${since}::timestamptz is null or at >= ${since})
       and (${until}::timestamptz is null or at < ${until})
       and (${below}::bigint is null or id < ${below})
     order by id desc limit ${limit}`);
  return rows.map((row) => ({ ...row, before: exact(row.before), after: exact(row.after) }));
}

type Row = Omit<Event, "before" | "after"> & {
  readonly before: string | null;
  readonly after: string | null;
};

/** Whole numbers that JavaScript would round are given as text. */
function exact(json: string | null): Event["before"] {
  if (json === null) return null;
  const keepDigits = (_key: string, value: unknown, token?: { readonly source?: string }) => {
    const isRounded = Number.isInteger(value) && !Number.isSafeInteger(value);
    return isRounded ? (token?.source ?? value) : value;
  };
  return JSON.parse(json, keepDigits) as Event["before"];
}

/** What somebody should look at: each thing opened once, and closed once. */
import { type Db, sql } from "@aerodb/db";

export type AlertSeverity = "warning" | "critical";

export interface Alert {
  readonly id: bigint;
  readonly rule: string;
  readonly severity: AlertSeverity;
  readonly subject: string;
  readonly detail: string;
  readonly openedAt: Date;
  /** Null: it is open. */
  readonly closedAt: Date | null;
}

/** What a rule found of one subject. */
export interface AlertFinding {
  readonly subject: string;
  /** Whether it opens an alert; else it only keeps open one that is. */
  readonly opens: boolean;
  readonly detail: string;
}

/** A pass that comes so much later than the one before leaves a gap. They are a minute apart. */
const GAP_SECONDS = 100;

/**
 * Holds the alerts until the transaction ends, once nobody else does, and notes the pass. Who only
 * skipped where another holds them would leave to the next minute what that one did not look at.
 */
export async function holdAlerts(db: Db): Promise<void> {
  // What rules find is compared with what is open: both may be long, which no plan knows before.
  await db.query(sql`
    select pg_advisory_xact_lock(hashtext('alerts')), set_config('enable_nestloop', 'off', true)`);
  await db.query(sql`
    insert into alert_passes as p (at, since) values (now(), now())
    on conflict (one) do update
      set at = now(),
          since = case when p.at < now() - ${GAP_SECONDS} * interval '1 second'
                       then now() else p.since end`);
}

/**
 * Opens an alert for each subject that is found anew, and closes those of subjects that are not
 * found any more, with an event of each. Returns how many of both. Repeatable.
 */
export async function writeAlerts(
  db: Db,
  { rule, severity }: Pick<Alert, "rule" | "severity">,
  findings: readonly AlertFinding[],
): Promise<{ readonly opened: number; readonly closed: number }> {
  const [written] = await db.query<{ opened: number; closed: number }>(sql`
    with found as (
      select * from unnest(${findings.map(({ subject }) => subject)}::text[],
                           ${findings.map(({ opens }) => opens)}::boolean[],
                           ${findings.map(({ detail }) => detail)}::text[])
                    as f (subject, opens, detail)
    ), opened as (
      insert into alerts (rule, severity, subject, detail)
      select ${rule}, ${severity}, subject, detail from found where opens order by subject
      on conflict (rule, subject) where closed_at is null do nothing
      returning id, subject, detail
    ), closed as (
      update alerts a set closed_at = now()
       where a.rule = ${rule} and a.closed_at is null
         and not exists (select from found f where f.subject = a.subject)
      returning a.id, a.subject, a.detail
    ), events as (
      insert into events (actor, kind, subject, before, after)
      select 'system', 'alert.open', subject, null,
             jsonb_build_object('alert_id', 'alr_' || id, 'rule', ${rule}::text,
                                'severity', ${severity}::text, 'detail', detail)
        from opened
      union all
      select 'system', 'alert.close', subject,
             jsonb_build_object('alert_id', 'alr_' || id, 'rule', ${rule}::text,
                                'severity', ${severity}::text, 'detail', detail), null
        from closed
    )
    select (select count(*) from opened)::integer as opened,
           (select count(*) from closed)::integer as closed`);
  return written ?? { opened: 0, closed: 0 };
}

/**
 * A page of alerts, newest first: those with ids below `below`; null is the first page. An empty
 * filter lets all through.
 */
export function listAlerts(
  db: Db,
  query: {
    readonly includeClosed: boolean;
    readonly rule: string;
    readonly subject: string;
    readonly below: bigint | null;
    readonly limit: number;
  },
): Promise<Alert[]> {
  const { includeClosed, rule, subject, below, limit } = query;
  return db.query<Alert>(sql`
    select id, rule, severity, subject, detail, opened_at as "openedAt", closed_at as "closedAt"
      from alerts
     where (${includeClosed} or closed_at is null)
       and (${rule} = '' or rule = ${rule})
       and (${subject} = '' or subject = ${subject})
       and (${below}::bigint is null or id < ${below})
     order by id desc limit ${limit}`);
}

/** How many alerts of each rule are open; a rule of which none is, is left out. */
export function countOpenAlerts(
  db: Db,
): Promise<{ readonly rule: string; readonly count: number }[]> {
  return db.query(sql`
    select rule, count(*)::integer as count from alerts where closed_at is null group by rule`);
}

/** Forgets alerts that were over so many months ago. */
export async function purgeAlerts(db: Db, months: number): Promise<void> {
  await db.query(sql`
    delete from alerts where closed_at < now() - make_interval(months => ${months})`);
}

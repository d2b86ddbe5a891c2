/**
 * Ending what a tenant has open in an instance, for good: its role is barred first, for one that
 * may not log in keeps the sessions it has, and one that may comes back.
 */
import { Fault, type TenantId } from "@aerodb/model";
import { monotonicMs, sleep } from "@aerodb/runtime";
import { type Client, DatabaseError } from "pg";
import { wasChangedAtOnce } from "./database-fault.ts";
import { quoteIdentifier } from "./identifier.ts";

const PAUSE_MS = 10;
/** A session that changes its own role in an open transaction keeps others from changing it. */
const LOCK_TIMEOUT_MS = 200;
const LOCK_NOT_AVAILABLE = "55P03";
/**
 * How long a session may take from being let in to being seen. Strangers at the door take longer.
 */
const UNSEEN_MS = 500;

export async function findRole(client: Client, tenantId: TenantId): Promise<number | undefined> {
  const text = "select oid from pg_catalog.pg_roles where rolname = $1";
  const { rows } = await client.query<{ readonly oid: number }>(text, [tenantId]);
  return rows[0]?.oid;
}

/**
 * Takes from a role the right to log in, and ends every session of it, those among them that were
 * let in just before and are not seen yet. Throws OPERATION_TIMED_OUT when they do not end.
 */
export async function barRole(
  client: Client,
  role: { readonly id: number; readonly name: TenantId },
  deadlineMs: number,
): Promise<void> {
  const deadline = monotonicMs() + deadlineMs;
  await takeLogin(client, role, deadline);
  await endSessions(client, role.id, deadline);
  await awaitUnseen(client);
  await endSessions(client, role.id, deadline);
}

/** Ends sessions of the role until none is seen. */
export async function endSessions(client: Client, roleId: number, deadline: number): Promise<void> {
  while ((await terminate(client, roleId)) > 0) {
    if (monotonicMs() > deadline) throw timedOut(`the sessions of role ${roleId} to end`);
    await sleep(PAUSE_MS);
  }
}

async function terminate(client: Client, roleId: number): Promise<number> {
  const { rowCount } = await client.query(TERMINATION, [roleId]);
  return rowCount ?? 0;
}

/** Workers that analyze a table run functions in its indexes, as its owner and without an end. */
const TERMINATION = `
select pg_catalog.pg_terminate_backend(a.pid) from pg_catalog.pg_stat_activity a
where a.usesysid = $1 or a.backend_type = 'autovacuum worker' and exists (
  select from pg_catalog.pg_locks l join pg_catalog.pg_class c on c.oid = l.relation
  where l.pid = a.pid and l.locktype = 'relation' and l.granted and c.relowner = $1)`;

async function takeLogin(
  client: Client,
  role: { readonly id: number; readonly name: TenantId },
  deadline: number,
): Promise<void> {
  const barring = [
    `set local lock_timeout = '${LOCK_TIMEOUT_MS}ms'`,
    `alter role ${quoteIdentifier(role.name)} nologin`,
  ].join(";\n");
  for (;;) {
    try {
      await client.query(barring);
      return;
    } catch (error) {
      if (!isInTheWay(error)) throw error;
      if (monotonicMs() > deadline) throw timedOut(`the role ${role.name} to be free`);
      await terminate(client, role.id);
    }
  }
}

/**
 * Waits for backends that were at the door when the role was barred: one that was let in before has
 * no name yet by which it could be ended, and shows its name or is gone within a moment. Who comes
 * later, or has its password still to prove, finds the role barred, so it is not waited for long.
 */
async function awaitUnseen(client: Client): Promise<void> {
  const deadline = monotonicMs() + UNSEEN_MS;
  let unseen = await listUnseen(client, undefined);
  while (unseen.length > 0 && monotonicMs() < deadline) {
    await sleep(PAUSE_MS);
    unseen = await listUnseen(client, unseen);
  }
}

/** Process ids of backends that begin: they hold their first transaction and have no role yet. */
async function listUnseen(
  client: Client,
  among: readonly number[] | undefined,
): Promise<readonly number[]> {
  const { rows } = await client.query<{ readonly pid: number }>(UNSEEN, [among ?? null]);
  return rows.map(({ pid }) => pid);
}

/** Before version 18 the view of activity does not show them at all. */
const UNSEEN = `
select l.pid from pg_catalog.pg_locks l
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'virtualxid' and l.granted and l.mode = 'ExclusiveLock'
  and a.usesysid is null and coalesce(a.backend_type, 'client backend') = 'client backend'
  and ($1::int[] is null or l.pid = any ($1))`;

function isInTheWay(error: unknown): boolean {
  if (!(error instanceof DatabaseError)) return false;
  return error.code === LOCK_NOT_AVAILABLE || wasChangedAtOnce(error);
}

function timedOut(expecting: string): Fault {
  return new Fault("OPERATION_TIMED_OUT", `Waited too long for ${expecting}.`);
}

import type { Control } from "../app/control.ts";
import { purgeAlerts } from "../store/alerts.ts";
import { purgeWatchedTimes } from "../store/availability.ts";
import { purgeRemovedHosts } from "../store/host-removal.ts";
import { purgeCertificates } from "../store/identities.ts";
import { purgeDeleted, purgeJoinTokens, purgeRequestIds } from "../store/overdue.ts";

const KEEP_DAYS = 30;
/** A year that is over can be compared with, month by month. */
const KEEP_MONTHS = 25;
const MAX_PER_STATEMENT = 1_000;

/** Removes rows that nobody needs any more. Repeatable; several controls may do it at once. */
export async function purge(control: Control): Promise<void> {
  const { database } = control;
  await purgeRequestIds(database);
  await purgeJoinTokens(database);
  await purgeCertificates(database);
  await purgeAlerts(database, KEEP_MONTHS);
  await purgeWatchedTimes(database, KEEP_MONTHS);
  let purged: number;
  do {
    purged = await purgeDeleted(database, { days: KEEP_DAYS, limit: MAX_PER_STATEMENT });
  } while (purged === MAX_PER_STATEMENT);
  await purgeRemovedHosts(database, KEEP_DAYS);
}

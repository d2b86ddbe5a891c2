/** Keeps the hourly records in step with the ledger. */
import { metersOf } from "@aerodb/model";
import { failpoint } from "@aerodb/runtime";
import {
  holdUsageRecords,
  listSilentGauges,
  takeUsageBatches,
  writeUsageRecords,
} from "../store/usage-records.ts";
import type { Control } from "./control.ts";

const NAMES = { gauges: metersOf("gauge"), peaks: metersOf("peak") };
const MOST_EVENTS = 100_000;
const MOST_GAUGES = 1_000;

/**
 * Derives the records that new events decide, and those of gauges that hold; a bounded part of them
 * in each transaction. Repeatable; of several controls one does it at a time.
 */
export async function rollUpUsage(control: Control): Promise<void> {
  let more = true;
  while (more) more = await rollUpEvents(control);
  more = true;
  while (more) more = await rollUpSilentGauges(control);
}

/** Whether there are more. */
function rollUpEvents(control: Control): Promise<boolean> {
  return control.database.transaction(async (db) => {
    if (!(await holdUsageRecords(db))) return false;
    const { touched, more } = await takeUsageBatches(db, MOST_EVENTS);
    await failpoint("control.usage.before_records");
    await writeUsageRecords(db, touched, NAMES);
    await failpoint("control.usage.before_records_commit");
    return more;
  });
}

/** Whether there are more. */
function rollUpSilentGauges(control: Control): Promise<boolean> {
  return control.database.transaction(async (db) => {
    if (!(await holdUsageRecords(db))) return false;
    const silent = await listSilentGauges(db, MOST_GAUGES);
    await writeUsageRecords(db, silent, NAMES);
    return silent.hours.length === MOST_GAUGES;
  });
}

/** What a collector of metrics is shown of the whole platform. */
import { causesOf } from "@aerodb/model";
import { countOpenAlerts } from "../store/alerts.ts";
import { type DownTime, listDownTimes, readToldAt } from "../store/availability.ts";
import { ALERT_RULES, type AlertRule } from "./alert-rules.ts";
import type { Control } from "./control.ts";

export interface PlatformMetrics {
  /** Every rule, those of which no alert is open too. */
  readonly alerts: readonly (Pick<AlertRule, "name" | "severity"> & { readonly open: number })[];
  /** Tenants to whom nobody got through for some time this month. */
  readonly downTimes: readonly DownTime[];
  /** Up to when it is known who can be reached; undefined: nothing is known lately. */
  readonly knownAt: Date | undefined;
}

export async function readPlatformMetrics({ database }: Control): Promise<PlatformMetrics> {
  const open = await countOpenAlerts(database);
  const counts = new Map(open.map(({ rule, count }) => [rule, count]));
  const causes = { planned: causesOf("planned"), unplanned: causesOf("unplanned") };
  return {
    alerts: ALERT_RULES.map(({ name, severity }) => {
      return { name, severity, open: counts.get(name) ?? 0 };
    }),
    downTimes: await listDownTimes(database, causes),
    knownAt: await readToldAt(database),
  };
}

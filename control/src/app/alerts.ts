/** What somebody should look at: found by rules, opened once, closed once, and shown. */
import { Fault, messageOf } from "@aerodb/model";
import { failpoint } from "@aerodb/runtime";
import * as store from "../store/alerts.ts";
import { ALERT_RULES, type AlertContext, type AlertRule } from "./alert-rules.ts";
import type { Control } from "./control.ts";
import { makePageToken, pageSizeOf, readPageToken } from "./page-token.ts";

export type Alert = store.Alert;

const UNREACHABLE_SECONDS = 60;

/**
 * Looks at every rule, opens what is found and closes what is over. All of it takes effect or none;
 * of several passes one does it at a time, so that none acts on what it saw before another.
 */
export async function evaluateAlerts(
  control: Control,
  seen: Pick<AlertContext, "hearsHosts"> = { hearsHosts: true },
  rules: readonly AlertRule[] = ALERT_RULES,
): Promise<void> {
  const { unreachableSeconds = UNREACHABLE_SECONDS } = control.settings;
  const context = { ...seen, unreachableSeconds };
  await control.database.transaction(async (db) => {
    await store.holdAlerts(db);
    for (const rule of rules) {
      const findings = await rule.find(db, context);
      if (findings === undefined) continue;
      const { name, severity } = rule;
      await failpoint("control.alerts.before_write");
      const changed = await store.writeAlerts(db, { rule: name, severity }, findings);
      if (changed.opened + changed.closed === 0) continue;
      control.logger.warn({ rule: name, ...changed }, "alerts were opened or closed");
    }
    await failpoint("control.alerts.before_commit");
  });
  await failpoint("control.alerts.after_commit");
}

/**
 * Looks at one rule at once. That it cannot is no failure of what came before: the next pass looks.
 */
export async function evaluateAlertsOf(control: Control, rule: string): Promise<void> {
  const rules = ALERT_RULES.filter(({ name }) => name === rule);
  try {
    await evaluateAlerts(control, { hearsHosts: false }, rules);
  } catch (error) {
    control.logger.warn({ rule, because: messageOf(error) }, "a rule of alerts waits for the next");
  }
}

export interface AlertFilter {
  readonly pageSize?: number;
  readonly pageToken?: string;
  readonly includeClosed?: boolean;
  readonly rule?: string;
  readonly subject?: string;
}

export interface AlertPage {
  readonly alerts: readonly Alert[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

const PREFIX = "alr_";

export function alertId({ id }: Pick<Alert, "id">): string {
  return `${PREFIX}${id}`;
}

/** A page of alerts, newest first. INVALID_ARGUMENT, INVALID_PAGE_TOKEN. */
export async function listAlerts(control: Control, filter: AlertFilter): Promise<AlertPage> {
  const { includeClosed = false, rule = "", subject = "" } = filter;
  if (rule !== "") requireRule(rule);
  const limit = pageSizeOf(filter.pageSize);
  const filters = ["alerts", includeClosed, rule, subject];
  const before = readPageToken(filters, filter.pageToken);
  const found = await store.listAlerts(control.database, {
    ...{ includeClosed, rule, subject },
    below: before === "" ? null : BigInt(before.slice(PREFIX.length)),
    limit: limit + 1,
  });
  const alerts = found.slice(0, limit);
  const last = found.length > limit ? alerts.at(-1) : undefined;
  const nextPageToken = last === undefined ? "" : makePageToken(filters, alertId(last));
  return { alerts, nextPageToken };
}

/** A name that is none would find nothing, as if all were well. */
function requireRule(rule: string): void {
  const names = ALERT_RULES.map(({ name }) => name);
  if (names.includes(rule)) return;
  const sentence = `There is no rule ${JSON.stringify(rule)}: use one of ${names.join(", ")}.`;
  throw new Fault("INVALID_ARGUMENT", sentence);
}

/** `aerodb availability` and `aerodb alerts …`: who could be reached, and what needs a look. */
import { type Alert, AlertSchema } from "@aerodb/rpc/aerodb/control/v1/alert_service_pb.js";
import {
  type Incident,
  type TenantAvailability,
  TenantAvailabilitySchema,
} from "@aerodb/rpc/aerodb/control/v1/availability_service_pb.js";
import type { Command } from "commander";
import { parseLimit } from "../limit.ts";
import { type Column, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";

const INCIDENTS: readonly Column<Incident>[] = [
  { title: "began", of: ({ beganAt }) => timeText(beganAt) },
  { title: "ended", of: ({ endedAt }) => (endedAt === undefined ? "goes on" : timeText(endedAt)) },
  { title: "minutes", of: ({ minutes }) => minutesText(minutes) },
  { title: "planned", of: ({ planned }) => (planned ? "yes" : "no") },
  { title: "what", of: ({ explanation }) => explanation },
];

const ALERTS: readonly Column<Alert>[] = [
  { title: "opened", of: ({ openedAt }) => timeText(openedAt) },
  { title: "closed", of: ({ closedAt }) => timeText(closedAt) },
  { title: "severity", of: ({ severity }) => severity },
  { title: "rule", of: ({ rule }) => rule },
  { title: "subject", of: ({ subject }) => subject },
  { title: "what", of: ({ detail }) => detail },
];

const MOST_A_PAGE = 1_000;

export function addAvailability(program: Command): void {
  program
    .command("availability <tenant>")
    .description("show for how long clients got through to a tenant this month, or in another")
    .option("--month <yyyy-mm>", "the month, in UTC", "")
    .action(async (tenant: string, { month }: { readonly month: string }, command: Command) => {
      const { api, output } = openSession(command);
      const asking = api.availability.getTenantAvailability({ tenant, month });
      const { availability } = await showProgress(`adding up minutes of ${tenant}`, asking);
      if (availability === undefined) return;
      if (output.format === "json") return output.one(TenantAvailabilitySchema, availability, []);
      for (const line of linesOf(availability)) output.text(line);
      if (availability.incidents.length > 0) output.plain(availability.incidents, INCIDENTS);
    });
  addAlerts(program);
}

interface AlertFlags {
  readonly all?: boolean;
  readonly rule: string;
  readonly subject: string;
  readonly limit: number;
}

function addAlerts(program: Command): void {
  program
    .command("alerts")
    .description("what somebody should look at")
    .command("list")
    .description("list alerts that are open, newest first")
    .option("--all", "those that are over as well")
    .option("--rule <rule>", 'of this rule only, such as "tenant_unreachable"', "")
    .option("--subject <id>", "about this tenant, host or gateway only", "")
    .option("--limit <n>", "at most this many", parseLimit, 50)
    .action(async ({ all = false, rule, subject, limit }: AlertFlags, command: Command) => {
      const { api, output } = openSession(command);
      const filter = { rule, subject, includeClosed: all };
      const found: Alert[] = [];
      let pageToken = "";
      do {
        const pageSize = Math.min(limit - found.length, MOST_A_PAGE);
        const asking = api.alerts.listAlerts({ ...filter, pageSize, pageToken });
        const page = await showProgress("listing alerts", asking);
        found.push(...page.alerts);
        pageToken = page.nextPageToken;
      } while (pageToken !== "" && found.length < limit);
      output.list(AlertSchema, found, ALERTS);
    });
}

/** What there is to say besides the incidents. */
export function linesOf(found: TenantAvailability): readonly string[] {
  const { availablePercent, promisedPercent, errorBudgetMinutes } = found;
  const { errorBudgetLeftMinutes: left = 0 } = found;
  const available =
    availablePercent === undefined
      ? "nothing is known"
      : `${percentText(availablePercent)} % of ${minutesText(found.knownMinutes)} minutes`;
  const promised =
    promisedPercent === undefined || errorBudgetMinutes === undefined
      ? "nothing is promised"
      : `${promisedPercent} %: of ${minutesText(errorBudgetMinutes)} minutes that it may be ` +
        `down in the month, ${minutesText(left)} are left`;
  const down = [
    `${minutesText(found.downMinutes)} minutes`,
    `planned ${minutesText(found.plannedMinutes)}`,
    `unknown ${minutesText(found.unknownMinutes)}`,
  ];
  return [
    `${found.month}: ${timeText(found.from)} to ${timeText(found.to)}`,
    `available: ${available}`,
    `down: ${down.join(", ")}`,
    `promised: ${promised}`,
  ];
}

/** To the tenth, and without one where it is whole. */
function minutesText(minutes: number): string {
  return String(Math.round(minutes * 10) / 10);
}

/** Rounded down: what is not wholly available does not say that it is. */
function percentText(percent: number): string {
  return String(Math.floor(percent * 1_000) / 1_000);
}

/** `aerodb status`: whether the platform can make a tenant, and what it consists of. */

import type { Alert } from "@aerodb/rpc/aerodb/control/v1/alert_service_pb.js";
import { EXIT } from "@aerodb/runtime";
import type { Command } from "commander";
import { apiUrl } from "../api.ts";
import { readVerbSettings } from "../config.ts";
import { createOutput } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession, type Session, type SharedFlags } from "../session.ts";
import { terminalText } from "../terminal-text.ts";
import { findRunningUp } from "../up/home-lease.ts";
import { askReadiness } from "../up/readiness.ts";

export function addStatus(program: Command): void {
  program
    .command("status")
    .description("whether a tenant can be created, and why not; exit code 1 when not")
    .action(async (_flags: object, command: Command) => {
      const flags = command.optsWithGlobals<SharedFlags>();
      const url = apiUrl(readVerbSettings(flags));
      const readiness = await showProgress("asking", askReadiness(url));
      const session = openSession(command);
      const fleet = readiness.ready ? await askFleet(session) : undefined;
      const up = findRunningUp(session.settings.home);
      const summary = { url, ...readiness, up_pid: up?.pid ?? null, ...fleet };
      process.exitCode = readiness.ready ? EXIT.ok : EXIT.failed;
      const output = createOutput(flags.output);
      if (output.format === "json") return output.json(summary);
      output.text(readiness.ready ? `Ready: ${url}` : `Not ready: ${readiness.reasons.join("; ")}`);
      if (up !== undefined) output.text(`aerodb up runs as process ${up.pid}.`);
      if (fleet !== undefined) {
        output.text(`${fleet.hosts_connected} of ${fleet.hosts} hosts are connected.`);
        output.text(`${fleet.tenants} tenants in ${fleet.instances} instances.`);
        if (fleet.quarantined.length > 0) output.text(quarantineText(fleet.quarantined));
        if (fleet.alerts.length > 0) output.text(alertsText(fleet.alerts));
      }
    });
}

interface Fleet {
  readonly hosts: number;
  readonly hosts_connected: number;
  readonly instances: number;
  readonly tenants: number;
  /** Names of tenants that are not served because their isolation is not proven. */
  readonly quarantined: readonly string[];
  /** Those that are open: the newest of them. */
  readonly alerts: readonly Pick<Alert, "severity" | "rule" | "detail">[];
}

const PAGE_SIZE = 1_000;
const MOST_NAMED = 10;

function quarantineText(names: readonly string[]): string {
  const more = names.length > MOST_NAMED ? `, and ${names.length - MOST_NAMED} more` : "";
  const named = names.slice(0, MOST_NAMED).join(", ");
  return (
    `${names.length} in quarantine, which nobody is served by: ${named}${more}. ` +
    'See "aerodb tenants get" for the reason.'
  );
}

function alertsText(alerts: Fleet["alerts"]): string {
  const lines = alerts
    .slice(0, MOST_NAMED)
    .map(({ severity, detail }) => `  ${severity}: ${terminalText(detail)}`);
  const more = alerts.length > MOST_NAMED ? ['  … and more: see "aerodb alerts list".'] : [];
  return ["Open alerts:", ...lines, ...more].join("\n");
}

async function askFleet({ api }: Session): Promise<Fleet> {
  const { hosts } = await showProgress("asking", api.hosts.listHosts({}));
  const quarantined = await showProgress("asking", quarantinedTenants({ api }));
  const listing = api.alerts.listAlerts({ pageSize: MOST_NAMED + 1 });
  const { alerts } = await showProgress("asking", listing);
  return {
    quarantined,
    alerts: alerts.map(({ severity, rule, detail }) => ({ severity, rule, detail })),
    hosts: hosts.length,
    hosts_connected: hosts.filter(({ connected }) => connected).length,
    instances: hosts.reduce((sum, { instances }) => sum + instances, 0),
    tenants: hosts.reduce((sum, { tenants }) => sum + tenants, 0),
  };
}

async function quarantinedTenants({ api }: Pick<Session, "api">): Promise<readonly string[]> {
  const names: string[] = [];
  let pageToken = "";
  do {
    const page = await api.tenants.listTenants({ pageSize: PAGE_SIZE, pageToken });
    names.push(...page.tenants.filter((each) => each.quarantined).map(({ name }) => name));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return names;
}

/** `aerodb usage`: what a tenant used in a month, as it is metered and billed. */
import {
  type MeterUsage,
  type TenantUsage,
  TenantUsageSchema,
} from "@aerodb/rpc/aerodb/control/v1/usage_service_pb.js";
import type { Command } from "commander";
import { type Column, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";

const METERS: readonly Column<MeterUsage>[] = [
  { title: "meter", of: ({ meter }) => meter },
  { title: "amount", of: ({ amount }) => String(amount) },
  { title: "unit", of: ({ unit }) => unit },
  { title: "average", of: averageText },
  { title: "now", of: ({ now }) => (now === undefined ? "-" : String(now)) },
];

const HELP = `
A gauge, as storage_bytes, is weighted by time: what it was, times the hours for which it was that.
Amounts by day are in --output json.

Examples:
  aerodb usage acme
  aerodb usage acme --month 2026-11 --output json`;

export function addUsage(program: Command): void {
  program
    .command("usage <tenant>")
    .description("show what a tenant used this month, or in another")
    .option("--month <yyyy-mm>", "the month, in UTC")
    .addHelpText("after", HELP)
    .action(async (tenant: string, flags: { readonly month?: string }, command: Command) => {
      const { api, output } = openSession(command);
      const { month } = flags;
      async function ask(): Promise<TenantUsage | undefined> {
        if (month === undefined) return (await api.usage.getTenantUsage({ tenant })).usage;
        return (await api.usage.getTenantUsageOfMonth({ tenant, month })).usage;
      }
      const usage = await showProgress(`adding up what ${tenant} used`, ask());
      if (usage === undefined) return;
      if (output.format === "json") return output.one(TenantUsageSchema, usage, []);
      output.text(`${usage.month}: ${timeText(usage.from)} to ${timeText(usage.to)}`);
      output.plain(usage.meters, METERS);
    });
}

/** Of a gauge its average; of what is counted, what came in a second. */
function averageText({ kind, average }: MeterUsage): string {
  if (kind === "peak") return "-";
  const text = average < 10 ? average.toPrecision(3) : average.toFixed(0);
  return kind === "gauge" ? text : `${text}/s`;
}

/** `aerodb cost`: what tenants cost whoever runs the platform, and what hosts cost. */
import { moneyText } from "@aerodb/model";
import {
  CalculateCostResponseSchema,
  type HostPrice,
  HostPriceSchema,
  type TenantCost,
} from "@aerodb/rpc/aerodb/control/v1/pricing_service_pb.js";
import type { Command } from "commander";
import { parseDollars } from "../money-argument.ts";
import { type Column, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession, type Session } from "../session.ts";

const MIB = 1_048_576;

const COSTS: readonly Column<TenantCost>[] = [
  { title: "plan", of: ({ plan }) => plan },
  { title: "isolation", of: ({ isolation }) => isolation },
  { title: "tenants", of: ({ tenants }) => String(tenants) },
  { title: "memory", of: ({ memoryBytes }) => `${(Number(memoryBytes) / MIB).toFixed(2)} MiB` },
  { title: "cores", of: ({ cpuMicros }) => (Number(cpuMicros) / 1e6).toFixed(6) },
  { title: "storage", of: ({ storageBytes }) => `${(Number(storageBytes) / MIB).toFixed(2)} MiB` },
  { title: "scarce", of: ({ scarce }) => scarce },
  { title: "when full", of: ({ whenFullMicroUsd }) => moneyText(whenFullMicroUsd) },
  { title: "now", of: ({ nowMicroUsd }) => moneyText(nowMicroUsd) },
];

const PRICES: readonly Column<HostPrice>[] = [
  { title: "host", of: ({ hostId, hostName }) => hostName || hostId },
  { title: "a month", of: ({ microUsdPerMonth }) => moneyText(microUsdPerMonth) },
  { title: "from", of: ({ activeFrom }) => timeText(activeFrom) },
];

const HELP = `
Each line is of one tenant in a month, on average of the last 15 minutes: what it costs on a host
that such tenants fill, and what it costs now, with its share of all that hosts have idle.

Examples:
  aerodb cost set-host any 40.00       # every host that has no price of its own
  aerodb cost set-host host-1 89.00
  aerodb cost`;

export function addCost(program: Command): void {
  const cost = program
    .command("cost")
    .description("show what a tenant costs in a month, by plan and isolation")
    .addHelpText("after", HELP)
    .action(async (_flags: object, command: Command) => showCost(openSession(command)));
  cost
    .command("hosts")
    .description("list what hosts cost and costed, newest first")
    .action(async (_flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress("listing prices", api.pricing.listHostPrices({}));
      output.list(HostPriceSchema, answer.hostPrices, PRICES);
    });
  cost
    .command("set-host <host>")
    .description("set what a month of a host costs from now on; `any` is who has no own price")
    .argument("<dollars>", "what a month costs, as in 40.00", parseDollars)
    .action(async (host: string, microUsdPerMonth: bigint, _flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const asking = api.pricing.createHostPrice({ host, microUsdPerMonth });
      const { hostPrice } = await showProgress("setting a price", asking);
      if (hostPrice !== undefined) output.one(HostPriceSchema, hostPrice, PRICES);
    });
}

async function showCost({ api, output }: Session): Promise<void> {
  const cost = await showProgress("adding up what tenants use", api.pricing.calculateCost({}));
  if (output.format === "json") return output.one(CalculateCostResponseSchema, cost, []);
  const { hosts, unpricedHosts, leftOutTenants, hostsMicroUsd, usedMicroUsd } = cost;
  if (unpricedHosts === hosts) {
    output.text("No host has a price: set one, as in `aerodb cost set-host any 40.00`.");
    return;
  }
  output.plain(cost.costs, COSTS);
  const priced = hosts - unpricedHosts;
  const used = `tenants use ${moneyText(usedMicroUsd)} of that`;
  const they = priced === 1 ? "1 host costs" : `${priced} hosts cost`;
  output.text(`\n${they} ${moneyText(hostsMicroUsd)} a month; ${used}.`);
  if (unpricedHosts > 0) output.text(`${unpricedHosts} hosts have no price and are left out.`);
  if (leftOutTenants > 0) {
    output.text(`${leftOutTenants} tenants are left out: no price, or nothing measured lately.`);
  }
}

/** `aerodb pricing …`: what a plan would cost, and the prices that say so. */
import { grouped, isMeter, METERS, moneyText } from "@aerodb/model";
import {
  CalculatePriceResponseSchema,
  type PlanPrice,
  PlanPriceSchema,
  type Rate,
  RateSchema,
} from "@aerodb/rpc/aerodb/control/v1/pricing_service_pb.js";
import { type Command, InvalidArgumentError } from "commander";
import { parseAmount, SIZES } from "../amount.ts";
import { parseDollars } from "../money-argument.ts";
import type { Column } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";
import { LINES } from "./invoice-lines.ts";

type Units = Readonly<Record<string, bigint>>;

const RATES: readonly Column<Rate>[] = [
  { title: "meter", of: ({ meter }) => meter },
  { title: "from", of: ({ activeFrom }) => activeFrom },
  { title: "price", of: ({ microUsd }) => moneyText(microUsd) },
  { title: "per", of: ({ meter, perUnits }) => unitsText(meter, perUnits) },
];

const PLAN_PRICES: readonly Column<PlanPrice>[] = [
  { title: "plan", of: ({ plan }) => plan },
  { title: "from", of: ({ activeFrom }) => activeFrom },
  { title: "base/month", of: ({ basePriceMicroUsd }) => moneyText(basePriceMicroUsd) },
  {
    title: "includes",
    of: ({ allowances }) =>
      Object.entries(allowances)
        .map(([meter, units]) => `${meter} ${unitsText(meter, units)}`)
        .join(", ") || "-",
  },
];

const USAGE_HELP = `
Of what is counted, name what comes in a month; of what is held, what it is on average. Sizes may be
written with KB, MB, GB or TB, which are 1,024-based.

Example:
  aerodb pricing calculate pro --usage api_requests=3000000,storage_bytes=120GB,egress_bytes=1TB`;
const RATE_HELP = `
Example:
  aerodb pricing add-rate egress_bytes 0.08 --per 1GB --from 2027-01`;
const PLAN_HELP = `
Example:
  aerodb pricing add-plan pro 29 --from 2027-01 --includes api_requests=2000000`;

export function addPricing(program: Command): void {
  const pricing = program.command("pricing").description("what plans and usage cost");
  pricing
    .command("calculate <plan>")
    .description("what a month on a plan would cost with some usage")
    .option("--usage <meters>", "as in api_requests=2000000,storage_bytes=10GB", parseUnits, {})
    .addHelpText("after", USAGE_HELP)
    .action(async (plan: string, { usage }: { readonly usage: Units }, command: Command) => {
      const { api, output } = openSession(command);
      const asking = api.pricing.calculatePrice({ plan, usage });
      const answer = await showProgress("calculating", asking);
      if (output.format === "json") return output.one(CalculatePriceResponseSchema, answer, []);
      output.plain(answer.lines, LINES);
      output.text(`\nA month like ${answer.month}: ${moneyText(answer.totalMicroUsd)}`);
    });
  addRates(pricing);
  addPlanPrices(pricing);
}

function addRates(pricing: Command): void {
  pricing
    .command("rates")
    .description("list what usage costs, costed and will cost")
    .action(async (_flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress("listing rates", api.pricing.listRates({}));
      output.list(RateSchema, answer.rates, RATES);
    });
  pricing
    .command("add-rate <meter>")
    .description("add a rate from a month to come; none is edited")
    .argument("<dollars>", "what the units cost, as in 0.08", parseDollars)
    .requiredOption("--per <units>", "for so many units, as in 1000000 or 1GB", parseAmount)
    .requiredOption("--from <month>", "the first month that it counts for, as in 2027-01")
    .addHelpText("after", RATE_HELP)
    .action(async (meter: string, microUsd: bigint, flags: RateFlags, command: Command) => {
      const { api, output } = openSession(command);
      const ask = { meter, microUsd, perUnits: flags.per };
      const asking = api.pricing.createRate({ ...ask, activeFrom: flags.from });
      const answer = await showProgress("adding a rate", asking);
      if (answer.rate !== undefined) output.one(RateSchema, answer.rate, RATES);
    });
}

interface RateFlags {
  readonly per: bigint;
  readonly from: string;
}

function addPlanPrices(pricing: Command): void {
  pricing
    .command("plans")
    .description("list what plans cost, costed and will cost, and what they include")
    .action(async (_flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress("listing prices", api.pricing.listPlanPrices({}));
      output.list(PlanPriceSchema, answer.planPrices, PLAN_PRICES);
    });
  pricing
    .command("add-plan <plan>")
    .description("add a plan's base price from a month to come; none is edited")
    .argument("<dollars>", "what a month costs, as in 29", parseDollars)
    .requiredOption("--from <month>", "the first month that it counts for, as in 2027-01")
    .option("--includes <meters>", "what is included, as in storage_bytes=100GB", parseUnits, {})
    .addHelpText("after", PLAN_HELP)
    .action(async (plan: string, basePriceMicroUsd: bigint, flags: PlanFlags, command: Command) => {
      const { api, output } = openSession(command);
      const ask = { plan, basePriceMicroUsd, allowances: flags.includes };
      const asking = api.pricing.createPlanPrice({ ...ask, activeFrom: flags.from });
      const answer = await showProgress("adding a price", asking);
      if (answer.planPrice !== undefined) {
        output.one(PlanPriceSchema, answer.planPrice, PLAN_PRICES);
      }
    });
}

interface PlanFlags {
  readonly from: string;
  readonly includes: Units;
}

/** Reads `api_requests=2000000,storage_bytes=10GB`. */
export function parseUnits(text: string): Units {
  const units: Record<string, bigint> = {};
  for (const part of text.split(",")) {
    const [, meter = "", count = ""] = /^\s*(\w+)\s*=\s*(.+?)\s*$/.exec(part) ?? [];
    if (meter === "") throw new InvalidArgumentError("Write meters as in api_requests=2000000.");
    if (meter in units) throw new InvalidArgumentError(`${meter} is given twice.`);
    units[meter] = parseAmount(count);
  }
  return units;
}

/** As `parseAmount` reads it, and whether it is for a month. */
export function unitsText(meter: string, units: bigint): string {
  const held = isMeter(meter) && METERS[meter].kind === "gauge" ? " for the month" : "";
  if (!meter.endsWith("_bytes")) return `${grouped(units.toString())}${held}`;
  const [name, size] =
    Object.entries(SIZES).findLast(([, each]) => units >= each && units % each === 0n) ?? [];
  return `${grouped((units / (size ?? 1n)).toString())} ${name || "bytes"}${held}`;
}

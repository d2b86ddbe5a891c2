/** `aerodb plans …`: what tenants can be, and what that asks of hosts. */
import { type Plan, PlanSchema } from "@aerodb/rpc/aerodb/control/v1/plan_service_pb.js";
import { type Command, InvalidArgumentError } from "commander";
import type { Column } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";

const PLANS: readonly Column<Plan>[] = [
  { title: "name", of: ({ name }) => name },
  { title: "isolations", of: ({ isolations }) => isolations.join(" ") },
  { title: "default", of: ({ defaultIsolation }) => defaultIsolation },
  { title: "storage", of: ({ quotas }) => sizeText(quotas?.storageBytes) },
  { title: "requests/month", of: ({ quotas }) => countText(quotas?.apiRequestsPerMonth) },
  { title: "connections", of: ({ resources }) => String(resources?.connectionLimit ?? "-") },
  { title: "base/month", of: ({ basePriceMicroUsd }) => `$${basePriceMicroUsd / 1_000_000n}` },
  { title: "requires", of: ({ requirements }) => requirements?.capabilities.join(" ") || "-" },
];

const NOTHING = "none";
const EXAMPLES = `
Examples:
  aerodb plans update pro --require sandbox,network_wall   its tenants run where both are
  aerodb plans update pro --require none                   its tenants run on any host`;

export function addPlans(program: Command): void {
  const plans = program.command("plans").description("what tenants can be");
  plans
    .command("list")
    .description("list plans")
    .action(async (_flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress("listing plans", api.plans.listPlans({}));
      output.list(PlanSchema, answer.plans, PLANS);
    });
  plans
    .command("update <plan>")
    .description("change what hosts must be able to do to be given tenants of a plan")
    .requiredOption(
      "--require <capabilities>",
      `capabilities with commas between, or ${NOTHING}`,
      parseCapabilities,
    )
    .addHelpText("after", EXAMPLES)
    .action(async (plan: string, flags: { readonly require: string[] }, command: Command) => {
      const { api, output } = openSession(command);
      const asked = { plan, requirements: { capabilities: flags.require } };
      const answer = await showProgress(`changing ${plan}`, api.plans.updatePlan(asked));
      if (answer.plan !== undefined) output.one(PlanSchema, answer.plan, PLANS);
    });
}

function parseCapabilities(text: string): string[] {
  if (text === NOTHING) return [];
  const named = text.split(",").map((each) => each.trim());
  if (!named.includes("")) return named;
  throw new InvalidArgumentError(`Name capabilities with commas between, or say ${NOTHING}.`);
}

function sizeText(bytes: bigint | undefined): string {
  if (bytes === undefined) return "unlimited";
  const mib = bytes / 1_048_576n;
  return mib >= 1_024n ? `${mib / 1_024n} GiB` : `${mib} MiB`;
}

function countText(count: bigint | undefined): string {
  return count === undefined ? "unlimited" : count.toLocaleString("en-US");
}

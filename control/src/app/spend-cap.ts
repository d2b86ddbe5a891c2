/** What a spend cap refuses before anything is spent: caps and plans that cannot go together. */
import { Fault, moneyText, type TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import { monthOf } from "../metering/calendar-month.ts";
import { invoiceOf } from "../metering/invoice.ts";
import { listQuotaStandings } from "../store/quotas.ts";
import type { Control } from "./control.ts";
import { readInputs, readPrices } from "./invoice-build.ts";

/** INVALID_ARGUMENT for a cap that the base price of the tenant's plan would reach by itself. */
export async function requireCapAboveBasePrice(
  control: Control,
  plan: string,
  capMicroUsd: bigint,
): Promise<void> {
  const { plans } = await readPrices(control.database, monthOf(now()));
  const base = plans.find((each) => each.plan === plan)?.basePriceMicroUsd ?? 0n;
  if (capMicroUsd > base) return;
  throw new Fault(
    "INVALID_ARGUMENT",
    `A spend cap of ${moneyText(capMicroUsd)} is reached at once: the plan ${plan} costs ` +
      `${moneyText(base)} a month. Set more, or "unlimited".`,
  );
}

/**
 * QUOTA_EXCEEDED when the running month would come to the tenant's cap if it were on a plan from
 * now on, and to more than on the plan it has.
 */
export async function requireCapBearsPlan(
  control: Control,
  { id, name }: { readonly id: TenantId; readonly name: string },
  plan: string,
): Promise<void> {
  const { database } = control;
  const standings = await listQuotaStandings(database, id);
  const cap = standings.find(({ resource }) => resource === "spend_micro_usd_per_month")?.quota;
  if (cap === undefined) return;
  const at = now();
  const month = monthOf(at);
  const prices = await readPrices(database, month);
  const asked = { month, prices, tenantIds: [id], credits: new Map() };
  const [found] = await readInputs(database, asked);
  if (found === undefined) throw new Error("bug: a tenant has no inputs");
  const { inputs } = found;
  const terms = [...inputs.terms, { fromAt: at, plan }];
  const { subtotalMicroUsd: withIt } = invoiceOf({ ...inputs, terms });
  const { subtotalMicroUsd: without } = invoiceOf(inputs);
  if (withIt < cap || withIt <= without) return;
  throw new Fault(
    "QUOTA_EXCEEDED",
    `On the plan ${plan} the month of the tenant ${name} would come to ${moneyText(withIt)}, and ` +
      `its spend cap is ${moneyText(cap)}. Raise the cap first.`,
    {
      details: {
        resource: "spend_micro_usd_per_month",
        used: withIt.toString(),
        limit: cap.toString(),
      },
    },
  );
}

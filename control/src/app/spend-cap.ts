/** What a spend cap refuses before anything is spent: caps and plans that cannot go together. */
import { Fault, moneyText, monthOf, type TenantId } from "@aerodb/model";
import { now } from "@aerodb/runtime";
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
 * now on, and to more than on the plan it has; so it is when the base price of a whole month would,
 * for late in a month little of it is left.
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
  const basePriceOf = (name: string | undefined) =>
    prices.plans.find((each) => each.plan === name)?.basePriceMicroUsd ?? 0n;
  const base = basePriceOf(plan);
  if (base >= cap && base > basePriceOf(inputs.terms.at(-1)?.plan ?? undefined)) {
    throw overCap(
      `The plan ${plan} costs ${moneyText(base)} a month, and the spend cap of the tenant ` +
        `${name} is ${moneyText(cap)}. Raise the cap first.`,
      base,
      cap,
    );
  }
  const terms = [...inputs.terms, { fromAt: at, plan }];
  const { subtotalMicroUsd: withIt } = invoiceOf({ ...inputs, terms });
  const { subtotalMicroUsd: without } = invoiceOf(inputs);
  if (withIt < cap || withIt <= without) return;
  throw overCap(
    `On the plan ${plan} the month of the tenant ${name} would come to ${moneyText(withIt)}, and ` +
      `its spend cap is ${moneyText(cap)}. Raise the cap first.`,
    withIt,
    cap,
  );
}

function overCap(sentence: string, used: bigint, cap: bigint): Fault {
  return new Fault("QUOTA_EXCEEDED", sentence, {
    details: {
      resource: "spend_micro_usd_per_month",
      used: used.toString(),
      limit: cap.toString(),
    },
  });
}

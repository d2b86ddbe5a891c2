/** What a month may come to, when it goes on as it does. */
import { isMeter, METERS } from "@aerodb/model";
import { type InvoiceInputs, secondsByPlan, type Term } from "./invoice.ts";

/** A rate of less than an hour says nothing of a month. */
const SHORTEST_SECONDS = 3_600n;

/**
 * The inputs as they may be at the end of the month: counters go on as they did since the tenant
 * served, gauges hold what they are now. Of a tenant that ended nothing more comes.
 */
export function forecastOf(
  inputs: InvoiceInputs,
  now: { readonly at: Date; readonly gauges: InvoiceInputs["usage"] },
): InvoiceInputs {
  const { month, terms } = inputs;
  const until: Term = { fromAt: now.at, plan: null };
  const before = terms.filter(({ fromAt }) => fromAt <= now.at);
  const elapsed = totalOf(secondsByPlan(month, [...before, until]));
  const left = totalOf(secondsByPlan(month, terms)) - elapsed;
  if (left <= 0n) return inputs;
  const over = elapsed < SHORTEST_SECONDS ? SHORTEST_SECONDS : elapsed;
  const usage = { ...inputs.usage };
  for (const name of new Set([...Object.keys(usage), ...Object.keys(now.gauges)])) {
    if (!isMeter(name)) continue;
    const used = usage[name] ?? 0n;
    if (METERS[name].kind === "counter") usage[name] = used + (used * left) / over;
    else usage[name] = used + (now.gauges[name] ?? 0n) * left * 1_000n;
  }
  return { ...inputs, usage };
}

function totalOf(seconds: ReadonlyMap<string, bigint>): bigint {
  return [...seconds.values()].reduce((sum, each) => sum + each, 0n);
}

/**
 * What a quiet schema tenant costs: many of them, each with a table and a row a second among them
 * all, on a host of 40 dollars a month. BENCH_TENANTS says how many.
 */
import { sleep } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";
import { mib, report } from "./figures.ts";

const TENANTS = Number(process.env["BENCH_TENANTS"] ?? 1_000);
const AT_ONCE = 8;
const QUIET_MS = 60_000;
const PATIENCE_MS = 180_000;
const DOLLARS = 40;

const platform = usePlatform();

async function makeOne(at: number): Promise<Tenant> {
  const tenant = await platform().createTenant({ name: `quiet-${at}` });
  await queryOnce(tenant.connection.uri, "create table notes (id int primary key, body text)");
  return tenant;
}

test("a quiet schema tenant", { timeout: 1_800_000 }, async () => {
  const tenants: Tenant[] = [];
  let next = 0;
  async function worker(): Promise<void> {
    while (next < TENANTS) {
      next += 1;
      tenants.push(await makeOne(next));
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const ending = Date.now() + QUIET_MS;
  for (let at = 0; Date.now() < ending; at += 1) {
    const tenant = tenants[at % tenants.length];
    if (tenant !== undefined) {
      const text = `insert into notes values (${at}, repeat('x', 200))`;
      await queryOnce(tenant.connection.pooled_uri, text);
    }
    await sleep(1_000);
  }
  const price = { host: "any", micro_usd_per_month: String(DOLLARS * 1_000_000) };
  await platform().request("POST", "/v1/pricing/hosts", price);
  let cost: Record<string, string> = {};
  await until(
    "what they use to be measured",
    async () => {
      const { body } = await platform().request("GET", "/v1/pricing/cost");
      cost = body.costs?.[0] ?? {};
      return Number(cost["tenants"] ?? 0) >= TENANTS;
    },
    PATIENCE_MS,
  );
  const dollars = (name: string): number => Number(cost[name] ?? 0) / 1_000_000;
  const [full, now] = [dollars("when_full_micro_usd"), dollars("now_micro_usd")];
  report(`${TENANTS} quiet schema tenants on a host of $${DOLLARS}, each`, [
    { what: "memory", measured: mib(Number(cost["memory_bytes"] ?? 0)), reach: "" },
    { what: "cores, millionths", measured: cost["cpu_micros"] ?? "0", reach: "" },
    { what: "storage", measured: mib(Number(cost["storage_bytes"] ?? 0)), reach: "" },
    { what: "a month, host full", measured: `$${full}`, reach: "< $0.10" },
    { what: "a month, idle included", measured: `$${now}`, reach: "< $10" },
  ]);
  expect(full).toBeLessThan(0.1);
  expect(now).toBeLessThan(10);
});

/** A host that is restarted has all again that it should have, what matters most first. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";
import { expectNothingHalf } from "./leftovers.ts";
import { cutPower } from "./reboot.ts";

/** Dedicated instances of the lesser plan: all of them are to be started at once. */
const MANY = 40;
/** Made at once: control places them, and the agent makes two at a time. */
const CROWD = 10;
/** As many as the agent starts at once. */
const STARTED_AT_ONCE = 4;
/** All of it, on a machine of two cores that has other things to do. */
const UP_MS = 90_000;

const platform = usePlatform({ environment: { AERODB_LOG_LEVEL: "debug" } });

async function createAll(): Promise<readonly Tenant[]> {
  const lesser: Tenant[] = [];
  for (let at = 0; at < MANY; at += CROWD) {
    const names = Array.from({ length: CROWD }, (_, index) => `lesser-${at + index}`);
    const made = names.map((name) => platform().createTenant({ name, plan: "pro" }));
    lesser.push(...(await Promise.all(made)));
  }
  // Last, so that in no other order they would be the first.
  const other = [
    await platform().createTenant({ name: "schema-one" }),
    await platform().createTenant({ name: "schema-two" }),
    await platform().createTenant({ name: "dear", plan: "enterprise", isolation: "database" }),
  ];
  return [...lesser, ...other];
}

/** Names of tenants, in the order in which their servers were started. */
async function inOrderOfStart(tenants: readonly Tenant[]): Promise<readonly string[]> {
  const text =
    "select extract(epoch from pg_postmaster_start_time())::float8 as at, name from kept";
  const rows = await Promise.all(tenants.map(({ connection }) => queryOnce(connection.uri, text)));
  const sorted = rows.flat().toSorted((a, b) => a.at - b.at);
  return sorted.map(({ name }) => name);
}

/** How many servers were being started at the busiest moment, by the agent's own account. */
function mostAtOnce(): number {
  const log = readFileSync(join(platform().home, "logs", "agent-1.log"), "utf8");
  const moments = log
    .split("\n")
    .filter((line) => line.includes('"start_instance"') && line.includes('"took a step"'))
    .map((line) => JSON.parse(line) as { readonly time: string; readonly tookMs: number })
    .flatMap(({ time, tookMs }) => [
      { at: Date.parse(time) - tookMs + 1, change: 1 },
      { at: Date.parse(time), change: -1 },
    ])
    .toSorted((a, b) => a.at - b.at || a.change - b.change);
  let now = 0;
  return Math.max(...moments.map(({ change }) => (now += change)));
}

test("after a restart of the machine all is there again, the most important first", {
  timeout: 300_000,
}, async () => {
  const tenants = await createAll();
  await Promise.all(
    tenants.map(({ connection, name }) =>
      queryOnce(connection.uri, `create table kept as select '${name}' as name`),
    ),
  );
  await platform().settled();
  const before = platform().pieces().instances;
  expect(before.size).toBe(MANY + 2);

  // Which has by now the pids that every server had.
  const other = spawn("sleep", ["600"], { stdio: "ignore" });
  onTestFinished(() => void other.kill("SIGKILL"));
  await cutPower(platform(), other.pid ?? 0);
  await platform().start();
  await until(
    "every server to run",
    () => platform().pieces().instances.size === before.size,
    UP_MS,
  );
  expect(mostAtOnce()).toBeLessThanOrEqual(STARTED_AT_ONCE);

  await platform().settled();
  await expectNothingHalf(platform());
  expect([...platform().pieces().instances.keys()].toSorted()).toEqual(
    [...before.keys()].toSorted(),
  );
  // Each has its own data, and those that many wait for, or that cost most, were the first.
  const order = await inOrderOfStart(tenants);
  expect(order.toSorted()).toEqual(tenants.map(({ name }) => name).toSorted());
  const first = order.slice(0, 2 * STARTED_AT_ONCE);
  expect(first).toEqual(expect.arrayContaining(["schema-one", "schema-two", "dear"]));
  expect(other.exitCode ?? other.signalCode, "the program that got their pids").toBe(null);
});

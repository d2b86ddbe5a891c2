/** A tenant that fills what it may have gets errors, and nothing else comes of it. */
import { join } from "node:path";
import type pg from "pg";
import { expect, test } from "vitest";
import { detectVolumeMeans } from "../../agent/src/storage/volume-means.ts";
import { usePlatform } from "../platform.ts";
import { until } from "../until.ts";
import { createBystander, createDedicated } from "./bystander.ts";
import { openCatalogue } from "./catalogue.ts";
import { agentHome } from "./reboot.ts";

const platform = usePlatform();
const SMALL_MIB = 40;
const LARGER_MIB = 400;
const DISK_FULL = "53100";
/** Far more than fits. */
const ROUNDS = 100;

/** What is on sale is data: two offers with as much room as a test can fill, within its quota. */
async function offerSmallPlans(): Promise<void> {
  const catalogue = await openCatalogue(platform());
  for (const [name, order, storageMiB] of [
    ["small", 101, SMALL_MIB],
    ["larger", 102, LARGER_MIB],
  ]) {
    await catalogue.query(
      `insert into plans (name, sort_order, isolations, default_isolation, storage_bytes,
                          connection_limit, memory_mib, cpu_millis, base_price_micro_usd,
                          storage_mib, importance)
       values ($1, $2, '{database}', 'database', $3 * 10485760::bigint, 20, 128, 100, 0, $3, 200)`,
      [name, order, storageMiB],
    );
  }
  await catalogue.end();
}

/** Writes until Postgres refuses, and returns its code for that. */
async function fillUp(session: pg.Client): Promise<string | undefined> {
  const row = "repeat(md5(random()::text), 200)";
  for (let round = 0; round < ROUNDS; round += 1) {
    try {
      await session.query(`insert into filled select i, ${row} from generate_series(1, 500) i`);
    } catch (error) {
      return (error as pg.DatabaseError).code;
    }
  }
  return expect.fail("all of it was written");
}

/** The agent looks every two seconds, and what was dropped is free a moment later. */
async function untilItWorks(session: pg.Client, statement: string): Promise<void> {
  await until(statement, () =>
    session.query(statement).then(
      () => true,
      () => false,
    ),
  );
}

test("a full tenant gets errors, can read, truncate and vacuum, and writes again with room", async (ctx) => {
  const { hardLimits } = await detectVolumeMeans(join(agentHome(platform()), "instances"));
  if (hardLimits.length === 0) ctx.skip("this user can make no limited file system here");
  await offerSmallPlans();
  const bystander = await createBystander(platform(), "bystander");
  const { tenant, instanceId } = await createDedicated(platform(), "full", "small");
  const server = platform().pieces().instances.get(instanceId);
  const session = await platform().connect(tenant.connection.uri);
  await session.query("create table kept as select generate_series(1, 100) as n");
  await session.query("create table filled (n int, text text storage external)");

  expect(await fillUp(session)).toBe(DISK_FULL);
  await bystander.expectUndisturbed();
  expect((await session.query("select count(*)::int as n from kept")).rows).toEqual([{ n: 100 }]);
  const path = `/v1/tenants/${tenant.tenant_id}`;
  const reason = async () => (await platform().request("GET", path)).body.status_reason;
  await until("a reason", async () => (await reason()).startsWith("Read-only: its data fills"));
  // What makes files of its own needs the ballast, which nobody may write to.
  await untilItWorks(session, "vacuum full kept");
  await expect(session.query("insert into kept values (0)")).rejects.toThrow(/used up/);
  expect((await session.query("delete from filled where n < 100")).rowCount).toBeGreaterThan(0);
  await session.query("vacuum filled");
  await session.query("truncate filled");
  await until("no reason", async () => (await reason()) === "");
  await untilItWorks(session, "update kept set n = n + 1");
  expect(await fillUp(session)).toBe(DISK_FULL);

  const changed = await platform().request("PATCH", path, { plan: "larger" });
  expect(changed.status).toBe(200);
  await untilItWorks(session, "insert into kept values (0)");
  // As much again as did not fit.
  for (let round = 0; round < 20; round += 1) {
    await session.query(
      "insert into filled select i, repeat(md5(i::text), 200) from generate_series(1, 500) i",
    );
  }
  expect(platform().pieces().instances.get(instanceId), "the same server").toBe(server);

  expect(await fillUp(session)).toBe(DISK_FULL);
  const smaller = await platform().request("PATCH", path, { plan: "small" });
  expect(smaller.status).toBe(200);
  await session.query("drop table filled");
  await untilItWorks(session, "insert into kept select generate_series(1, 10000)");
  await until("a reason", async () => (await reason()).startsWith("Its volume of 400 MiB stays"));
  await bystander.expectUndisturbed();
  const log = await platform().cli(["logs", "full", "--lines", "500"]);
  expect(log.stdout).toContain("is ready to accept connections");
  expect(log.stdout).not.toMatch(/PANIC|FATAL/);
  expect(platform().pieces().instances.get(instanceId), "the same server").toBe(server);
  await platform().settled();
});

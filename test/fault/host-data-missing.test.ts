/** Data that was served is never made anew, empty, because it is not where it was. */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { platformOfThisTest } from "../platform.ts";
import { connectionError, queryOnce } from "../platform-client.ts";
import { until } from "../until.ts";
import { createDedicated } from "./bystander.ts";
import { agentHome } from "./reboot.ts";

/** What an agent that begins anew knows of the host is what control tells it. */
const LEDGER = ["ledger.db", "ledger.db-wal", "ledger.db-shm"];

test.each([{ knows: "the agent" }, { knows: "only control" }])(
  "a disk that was not mounted is said and waited for, as $knows knows",
  async ({ knows }) => {
    const platform = await platformOfThisTest();
    const { tenant, instanceId } = await createDedicated(platform, "acme");
    await queryOnce(tenant.connection.uri, "create table kept as select 7 as n");
    await platform.stop();
    const home = agentHome(platform);
    const [instances, elsewhere] = [join(home, "instances"), join(home, "elsewhere")];
    renameSync(instances, elsewhere);
    mkdirSync(instances, { mode: 0o711 });
    if (knows === "only control")
      for (const name of LEDGER) rmSync(join(home, name), { force: true });

    await platform.start();
    await until("the tenant to say what is missing", async () => {
      const { body } = await platform.request("GET", "/v1/tenants/acme");
      return /Its data is not on its host/.test(body.status_reason);
    });
    expect(await connectionError(tenant.connection.uri)).toBeInstanceOf(Error);
    expect(existsSync(join(instances, instanceId))).toBe(false);

    await platform.stop();
    rmSync(instances, { recursive: true });
    renameSync(elsewhere, instances);
    await platform.start();
    await until("the tenant to be served", async () => {
      const { body } = await platform.request("GET", "/v1/tenants/acme");
      return body.status_reason === "";
    });
    expect(await queryOnce(tenant.connection.uri, "select n from kept")).toEqual([{ n: 7 }]);
    await platform.settled();
  },
);

test("data without the mark that it is on disk is kept where it has served", async () => {
  const platform = await platformOfThisTest();
  const { tenant, instanceId } = await createDedicated(platform, "acme");
  await queryOnce(tenant.connection.uri, "create table kept as select 7 as n");
  await platform.stop();
  rmSync(join(agentHome(platform), "instances", instanceId, "durable"));
  await platform.start();
  expect(await queryOnce(tenant.connection.uri, "select n from kept")).toEqual([{ n: 7 }]);
  await platform.settled();
});

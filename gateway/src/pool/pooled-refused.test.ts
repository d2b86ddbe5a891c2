/** Settings at the start of a client of the pooled port that its server does not take. */
import { sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo } from "../wire/fake-client.ts";
import { servingAcme } from "./throwaway-pool.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 1, poolWaitMs: 4_000 }));
});
afterAll(() => platform.remove());

test.each([
  ["TimeZone=Nope/Zone", "22023", 'invalid value for parameter "TimeZone": "Nope/Zone"'],
  ["statement_timeout=abc", "22023", 'invalid value for parameter "statement_timeout": "abc"'],
])("of %s a client is told what the server said of it", async (setting, code, message) => {
  const options = `-c ${setting}`;
  const refused = {
    code,
    severity: "FATAL",
    message: expect.stringMatching(new RegExp(message, "i")),
  };
  await expect(connectTo(gateway.pgPooledPort, acme, { options })).rejects.toMatchObject(refused);
  const next = await connectTo(gateway.pgPooledPort, acme);
  expect((await next.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await next.end();
});

test("a server that ends while it is asked for settings has not refused them", async () => {
  const first = await connectTo(gateway.pgPooledPort, acme);
  const { rows } = await first.query("select pg_backend_pid() as pid");
  await first.end();
  const pid: number = rows[0].pid;
  process.kill(pid, "SIGSTOP");
  const options = "-c statement_timeout=4321";
  const asks = connectTo(gateway.pgPooledPort, acme, { options });
  const refused = expect(asks).rejects.toMatchObject({ code: "57P03" });
  await sleep(300);
  process.kill(pid, "SIGTERM");
  process.kill(pid, "SIGCONT");
  await refused;
});

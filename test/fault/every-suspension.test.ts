/** Kills control and the agent at each step of suspending and reinstating, one of each a round. */
import { expect, test } from "vitest";
import { openInstanceOf, roleOf, sessionsOf } from "../inside-instances.ts";
import { usePlatform } from "../platform.ts";
import { connectionError, queryOnce } from "../platform-client.ts";
import { until } from "../until.ts";
import { failpointsOf } from "./failpoints.ts";
import { killOrders } from "./kill-orders.ts";

const CONTROL = failpointsOf("control").filter((name) => /\.(suspend|reinstate)\./.test(name));
const AGENT = failpointsOf("agent").filter((name) => name.startsWith("agent.tenant.suspend"));
const ROUNDS = Array.from({ length: Math.max(CONTROL.length, AGENT.length) }, (_, at) => ({
  control: CONTROL[at],
  agent: AGENT[at],
}));

const orders = killOrders();
const platform = usePlatform({ environment: orders.environment });

/** An answer may get lost with who was to give it; whoever asked asks again. */
async function insist(verb: string, body: object): Promise<void> {
  await until(`${verb} to be answered`, async () => {
    const answer = await platform().request("POST", `/v1/tenants/acme:${verb}`, body);
    if (answer.status >= 300) throw new Error(JSON.stringify(answer.body));
    return true;
  });
}

test("killed at each step, a tenant is suspended and reinstated in the end", {
  timeout: 400_000,
}, async () => {
  const tenant = await platform().createTenant({ name: "acme" });
  const { root } = await openInstanceOf(platform(), tenant);
  for (const steps of ROUNDS) {
    platform().output = "";
    orders.give(steps);
    const open = await platform().connect(tenant.connection.uri);
    await insist("suspend", { reason: "unpaid" });
    expect(await sessionsOf(root, tenant)).toBe(0);
    expect(await roleOf(root, tenant)).toEqual({ rolcanlogin: false });
    await expect(open.query("select 1")).rejects.toThrow();
    // A control that has just begun waits for no gateway: none is there yet.
    await until("the gateway to say so", async () => {
      return (await connectionError(tenant.connection.uri)).code === "28000";
    });

    await insist("reinstate", {});
    await until("the gateway to let it in", async () => {
      return (await queryOnce(tenant.connection.uri, "select 1 as one")).length === 1;
    });
    await orders.carriedOut(platform());
    await platform().settled();
  }
  expect([...orders.fired].toSorted()).toEqual([...CONTROL, ...AGENT].toSorted());
});

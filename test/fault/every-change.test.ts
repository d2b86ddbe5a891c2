/**
 * Kills control and the agent at each step of what changes a tenant that is there, or what tenants
 * share, and of what is kept ready for the next: one step of each a round.
 */
import { beforeAll, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { type AnyBody, queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";
import { failpointsOf } from "./failpoints.ts";
import { expectNothingHalf } from "./leftovers.ts";

/** In an order in which there is something to be made ready where that is to be killed. */
const CONTROL = stepsOf("control", [/\.(restart|extension)\./, /\.shared_tables\./]);
const AGENT = stepsOf("agent", [/\.warm\./, /\.shared_tables\./]);
const ROUNDS = Array.from({ length: Math.max(CONTROL.length, AGENT.length) }, (_, at) => ({
  at,
  control: CONTROL[at],
  agent: AGENT[at],
  // The last step is of an instance that goes because none is to be kept any more.
  kept: AGENT[at] === "agent.warm.removed" ? "0" : "1",
}));

const platform = usePlatform({ environment: { AERODB_WARM_INSTANCES: "1" } });
const fired = new Set<string>();

function stepsOf(piece: "control" | "agent", groups: readonly RegExp[]): readonly string[] {
  return groups.flatMap((group) => failpointsOf(piece).filter((name) => group.test(name)));
}

function armed(name: string | undefined): string {
  return name === undefined ? "" : `${name}=kill`;
}

/** An answer may get lost with who was to give it; whoever asked asks again. */
async function insist(method: string, path: string, body: object): Promise<AnyBody> {
  return until(`${method} ${path} to be answered`, async () => {
    const answer = await platform().request(method, path, body);
    if (answer.status >= 300) throw new Error(JSON.stringify(answer.body));
    return answer.body;
  });
}

let sharing: Tenant;
beforeAll(async () => {
  await platform().createTenant({ name: "changed", plan: "pro" });
  sharing = await platform().createTenant({ name: "sharing" });
});

test.for(ROUNDS)("killed at $control and $agent: the change is made", async (round) => {
  const { at, control, agent, kept } = round;
  await platform().stop();
  platform().output = "";
  await platform().start({
    AERODB_FAILPOINTS_CONTROL: armed(control),
    AERODB_FAILPOINTS_AGENT: armed(agent),
    AERODB_WARM_INSTANCES: kept,
  });
  await platform().ready();
  const settings = { work_mem: `${at + 1}MB`, max_locks_per_transaction: `${80 + at}` };
  await insist("PATCH", "/v1/tenants/changed", { settings, apply: "restart" });
  // A server that an agent killed before starts with the new settings already waits for none.
  await insist("POST", "/v1/tenants/changed:restart", {});
  await insist("POST", "/v1/tenants/changed/extensions", { name: "citext" });
  const table = `create table t${at} (tenant_id text primary key)`;
  await insist("POST", "/v1/shared-tables", { name: `${at}.sql`, sql: table });
  await until("the steps to be reached", () => hasFired("control", control));
  await until("the steps to be reached", () => hasFired("agent-1", agent));
  await platform().settled();

  const { connection } = (await insist(
    "POST",
    "/v1/tenants/changed/credentials:rotate",
    {},
  )) as AnyBody;
  const session = await platform().connect(connection.uri);
  const { rows } = await session.query(
    "select current_setting('max_locks_per_transaction') as most",
  );
  expect(Number(rows[0]?.most)).toBe(80 + at);
  await until("the shared table to be there", () =>
    queryOnce(sharing.connection.uri, `insert into shared.t${at} default values`),
  );
});

test("every step was reached, and what is kept ready is nobody's", async () => {
  await platform().stop();
  await platform().start({ AERODB_WARM_INSTANCES: "0" });
  await platform().settled();
  await until("no instance to be kept ready", async () => {
    await expectNothingHalf(platform());
    return true;
  });
  expect([...fired].sort()).toEqual([...CONTROL, ...AGENT].sort());
});

/** `up` says when it lost a piece. */
function hasFired(piece: string, name: string | undefined): boolean {
  if (name === undefined) return true;
  if (!platform().output.includes(`${piece} was killed by SIGKILL`)) return false;
  fired.add(name);
  return true;
}

/**
 * A gateway whose tenant is refused service: by its routes alone, for nobody bars the role here.
 */
import { once } from "node:events";
import { encodeCancelRequest } from "@aerodb/postgres";
import { RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { armFailpoints, sleep } from "@aerodb/runtime";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectRaw, everything } from "./fake-client.ts";

const SENTENCE = "the tenant acme is suspended: ask whoever runs this platform to reinstate it";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let globex: ThrowawayTenant;
let generation = 5n;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  globex = await platform.instance.addTenant("globex");
  platform.control.whole = platform.tableOf([acme, globex], { generation });
  gateway = await platform.startGateway();
  await platform.followed(generation);
});
beforeEach(() => say(RouteState.ACTIVE));
afterAll(() => platform.remove());

/** Control says what is to be done with connections of acme; resolves once that is followed. */
async function say(
  state: RouteState,
  options: {
    readonly remote?: boolean;
    readonly parked?: boolean;
    readonly brokenRules?: string[];
  } = {},
): Promise<void> {
  generation += 1n;
  const { brokenRules = [], ...over } = options;
  const { routes = [], endpoints = [] } = platform.tableOf([acme], {
    ...{ generation, state, ...over },
  });
  const told = routes.map((route) => ({ ...route, brokenRules }));
  platform.control.send({ generation, routes: told, endpoints });
  await platform.followed(generation);
}

function newClient(tenant = acme, port = gateway.pgPort): pg.Client {
  const { tenantId: user, name: database, password } = tenant;
  const client = new pg.Client({ host: "127.0.0.1", port, user, database, password });
  client.on("error", () => undefined);
  return client;
}

async function login(tenant = acme): Promise<pg.Client> {
  const client = newClient(tenant);
  await client.connect();
  return client;
}

async function refusal(): Promise<pg.DatabaseError> {
  return newClient()
    .connect()
    .then(
      () => expect.fail("the login was to be refused"),
      (error: pg.DatabaseError) => error,
    );
}

test("who is at rest is told so and ended, who is busy is ended, and nobody gets in", async () => {
  const [idle, busy, other] = [await login(), await login(), await login(globex)];
  const told = once(idle, "error");
  const sleeping = busy.query("select pg_sleep(60)").catch((error: unknown) => error);
  await say(RouteState.SUSPENDED);
  const [error] = await told;
  expect(error).toMatchObject({
    ...{ code: "57P01", severity: "FATAL", message: `terminating connection: ${SENTENCE}` },
  });
  expect(await sleeping).toBeInstanceOf(Error);
  await expect(idle.query("select 1")).rejects.toThrow();
  expect(await refusal()).toMatchObject({ severity: "FATAL", code: "28000", message: SENTENCE });
  expect((await other.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await other.end();

  await say(RouteState.ACTIVE);
  const again = await login();
  expect((await again.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await again.end();
});

test("who knows the tenant's role only is told, and nobody else", async () => {
  await say(RouteState.SUSPENDED);
  const guess = newClient({ ...acme, tenantId: globex.tenantId });
  await expect(guess.connect()).rejects.toMatchObject({ code: "28P01" });
});

test("a tenant whose isolation is not proven is refused and ended in the same way", async () => {
  const client = await login();
  const told = once(client, "error");
  await say(RouteState.QUARANTINED);
  const sentence =
    "the tenant acme is not served because its isolation could not be proven; " +
    "the operator was told";
  expect((await told)[0]).toMatchObject({ message: `terminating connection: ${sentence}` });
  expect(await refusal()).toMatchObject({ code: "28000", message: sentence });

  await say(RouteState.QUARANTINED, { brokenRules: ["view.materialized", "routine.definer"] });
  expect(await refusal()).toMatchObject({
    message: sentence.replace("proven", "proven: view.materialized, routine.definer"),
  });
});

test("what only a later control can say refuses as well", async () => {
  await say(99 as RouteState);
  expect(await refusal()).toMatchObject({ code: "57P03", message: "the tenant is not served now" });
});

test.each([
  ["before it is let in", "gateway.session.before_dial"],
  ["when its server is ready", "gateway.session.after_ready"],
])(
  "a login does not end in a session when its tenant is suspended %s",
  async (_when, failpoint) => {
    armFailpoints(`${failpoint}=sleep:300`);
    const refused = refusal();
    await sleep(150);
    await say(RouteState.SUSPENDED);
    expect(await refused).toMatchObject({ code: "28000", message: SENTENCE });
    armFailpoints("");
  },
);

test("sessions through the agent of another host end too", async () => {
  await say(RouteState.ACTIVE, { remote: true });
  const client = await login();
  const told = once(client, "error");
  await say(RouteState.SUSPENDED, { remote: true });
  expect((await told)[0]).toMatchObject({ code: "57P01" });
  await say(RouteState.ACTIVE, { remote: false });
});

test("a key for cancels is worth nothing once the session was ended", async () => {
  const client = await login();
  const { processID, secretKey } = client as unknown as Record<string, number>;
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey ?? 0);
  await say(RouteState.SUSPENDED);
  const socket = connectRaw(gateway.pgPort);
  socket.write(encodeCancelRequest({ processId: processID ?? 0, secret }));
  expect((await everything(socket)).length).toBe(0);
});

test("of a storm of clients that reconnect none is inside once the route is followed", async () => {
  let storming = true;
  const inside = new Set<pg.Client>();
  const stormers = Array.from({ length: 12 }, async () => {
    while (storming) {
      const client = newClient();
      client.once("end", () => inside.delete(client));
      try {
        await client.connect();
        inside.add(client);
        await client.query("select 1");
        await sleep(5);
      } catch {
        inside.delete(client);
      }
      await client.end().catch(() => undefined);
    }
  });
  await sleep(300);
  await say(RouteState.SUSPENDED);
  await sleep(100);
  const survivors = [...inside].map((client) => client.query("select 1 as one"));
  const ends = await Promise.allSettled(survivors);
  expect(ends.filter(({ status }) => status === "fulfilled")).toEqual([]);
  storming = false;
  await Promise.all(stormers);
});

test.each([
  ["suspended", RouteState.SUSPENDED, "28000", SENTENCE],
  ["deleted", RouteState.DELETING, "3D000", "the tenant is being deleted"],
  ["gone", RouteState.GONE, "3D000", "the tenant was deleted"],
])("who is held for a restart is told at once that its tenant is %s", async (...given) => {
  const [, state, code, sentence] = given;
  const held = newClient();
  const [pooled, resting] = [0, 1].map(() => newClient(acme, gateway.pgPooledPort));
  for (const client of [held, pooled, resting]) await client?.connect();
  const told = resting && once(resting, "error");
  await say(RouteState.ACTIVE, { parked: true });
  const late = refusal();
  const asked = [held, pooled].map((client) =>
    client?.query("select 1").catch((error: unknown) => error),
  );
  await sleep(200);
  await say(state, { parked: true });
  const farewell = { code: "57P01", message: `terminating connection: ${sentence}` };
  for (const each of asked) expect(await each).toMatchObject(farewell);
  expect((await told)?.[0]).toMatchObject(farewell);
  expect(await late).toMatchObject({ code, message: sentence });
});

test("a gateway that starts while control is down refuses still", async () => {
  await say(RouteState.SUSPENDED);
  platform.control.stop();
  await platform.stopGateway();
  gateway = await platform.startGateway();
  expect(await refusal()).toMatchObject({ code: "28000", message: SENTENCE });
  const other = await login(globex);
  await other.end();
});

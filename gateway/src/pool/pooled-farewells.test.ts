/** What clients of the pooled port are told that are ended in the midst of their work. */
import { once } from "node:events";
import { RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo, everything, loggedIn } from "../wire/fake-client.ts";
import { encodeQuery } from "../wire/messages.ts";

const SENTENCE = "terminating connection: the tenant acme is suspended";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let generation = 5n;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  platform.control.whole = platform.tableOf([acme], { generation });
  gateway = await platform.startGateway({ poolSize: 1, poolWaitMs: 8_000 });
  await platform.followed(generation);
});
beforeEach(() => say(RouteState.ACTIVE));
afterAll(() => platform.remove());

async function say(state: RouteState): Promise<void> {
  generation += 1n;
  platform.control.send(platform.tableOf([acme], { generation, state }));
  await platform.followed(generation);
}

test.each([
  ["in a query", [], "select pg_sleep(60)"],
  ["in a transaction", ["begin"], undefined],
])("who is %s is told why it is ended", async (_what, first, running) => {
  const client = await connectTo(gateway.pgPooledPort, acme);
  for (const sql of first) await client.query(sql);
  const told = new Promise((resolve) => client.once("error", resolve));
  const failed = running === undefined ? told : client.query(running).catch((error) => error);
  await sleep(100);
  await say(RouteState.SUSPENDED);
  expect(await failed).toMatchObject({
    ...{ code: "57P01", severity: "FATAL", message: expect.stringContaining(SENTENCE) },
  });
});

test("who waits for a server is told why it is ended", async () => {
  const holder = await connectTo(gateway.pgPooledPort, acme);
  await holder.query("begin");
  const waits = await connectTo(gateway.pgPooledPort, acme);
  const failed = waits.query("select 1").catch((error) => error);
  await sleep(100);
  await say(RouteState.SUSPENDED);
  expect(await failed).toMatchObject({ code: "57P01" });
});

test("in the midst of a row nothing is said that would be taken for the row's", async () => {
  const socket = await loggedIn(gateway.pgPooledPort, acme);
  socket.write(encodeQuery("select repeat('x', 60000000)"));
  await once(socket, "readable");
  await say(RouteState.SUSPENDED);
  const said = await everything(socket);
  expect(said.length).toBeGreaterThan(1_000);
  expect(said.length).toBeLessThan(60_000_000);
  expect(said.includes(SENTENCE)).toBe(false);
});

/** What the ports refuse of one address and of one tenant, and that it is counted. */
import type pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { GatewayConfiguration } from "../config.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectRaw, connectTo, everything } from "./fake-client.ts";

let platform: ThrowawayPlatform;
let acme: ThrowawayTenant;
let generation = 1n;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
});
afterEach(() => platform.stopGateway());
afterAll(() => platform.remove());

async function start(changes: Partial<GatewayConfiguration>) {
  generation += 1n;
  platform.control.whole = platform.tableOf([acme], { generation });
  const gateway = await platform.startGateway(changes);
  await platform.followed(generation);
  return gateway;
}

const login = (port: number) => connectTo(port, acme);

const TOO_MANY = { code: "53300", severity: "FATAL" };

test("an address that only opens connections is refused further ones", async () => {
  const { pgPort } = await start({ halfOpenPerSource: 3 });
  const silent = [connectRaw(pgPort), connectRaw(pgPort), connectRaw(pgPort)];
  await Promise.all(
    silent.map((socket) => new Promise((resolve) => socket.once("connect", resolve))),
  );
  const said = (await everything(connectRaw(pgPort))).toString();
  expect(said).toContain("3 connections of this address have not logged in yet");
  for (const socket of silent) socket.destroy();
  await expect.poll(() => login(pgPort).then((client) => client.end(), String)).toBeUndefined();
});

test("a tenant that logs in too often is refused, on both ports together", async () => {
  const { pgPort, pgPooledPort } = await start({ ratePerTenant: 2 });
  const clients: pg.Client[] = [];
  for (const port of [pgPort, pgPooledPort, pgPort, pgPooledPort]) clients.push(await login(port));
  await expect(login(pgPort)).rejects.toMatchObject(TOO_MANY);
  await Promise.all(clients.map((client) => client.end()));
});

test("the pooled port takes so many clients of a tenant", async () => {
  const { pgPooledPort } = await start({ poolClients: 2 });
  const clients = [await login(pgPooledPort), await login(pgPooledPort)];
  await expect(login(pgPooledPort)).rejects.toMatchObject(TOO_MANY);
  await clients[0]?.end();
  await expect
    .poll(() => login(pgPooledPort).then((client) => client.end(), String))
    .toBeUndefined();
  await clients[1]?.end();
});

test("what was opened, refused and carried is counted, through either port", async () => {
  const { pgPort, pgPooledPort } = await start({ poolClients: 1 });
  for (const port of [pgPort, pgPooledPort]) {
    const client = await login(port);
    await client.query("begin; select 1; commit");
    await client.query("select repeat('x', 10000)");
    if (port === pgPooledPort) await expect(login(port)).rejects.toMatchObject(TOO_MANY);
    await client.end();
  }
  const from = platform.control.requests.length;
  await platform.stopGateway();
  const { Traffic } = await import("../traffic.ts");
  const kept = new Traffic(`${platform.directory}/gateway/usage.db`);
  const sent = platform.control.requests.slice(from).flatMap(({ usage }) => usage?.events ?? []);
  const events = [...sent, ...kept.eventsAfter(0n, 100)];
  kept.close();
  const counted = Object.fromEntries(events.map(({ meter, value }) => [meter, Number(value)]));
  expect(counted).toMatchObject({
    connections_opened: 2,
    connections_refused: 1,
    connections_peak: 1,
    transactions: 4,
  });
  expect(counted["egress_bytes"]).toBeGreaterThan(20_000);
  expect(counted["ingress_bytes"]).toBeGreaterThan(50);
});

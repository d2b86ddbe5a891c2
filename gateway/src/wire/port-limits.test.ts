/** What the ports refuse of one address and of one tenant, and that it is counted. */
import { newId, sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { GatewayConfiguration } from "../config.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { Traffic } from "../traffic.ts";
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

/** What was counted since the last reading. */
async function stopAndCount(): Promise<Readonly<Record<string, number>>> {
  const from = platform.control.requests.length;
  await platform.stopGateway();
  const kept = new Traffic(`${platform.directory}/gateway/usage.db`);
  const sent = platform.control.requests.slice(from).flatMap(({ usage }) => usage?.events ?? []);
  const events = [...sent, ...kept.eventsAfter(0n, 100)];
  kept.close();
  return Object.fromEntries(events.map(({ meter, value }) => [meter, Number(value)]));
}

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
  const counted = await stopAndCount();
  expect(counted).toMatchObject({
    connections_opened: 2,
    connections_refused: 1,
    connections_peak: 1,
    transactions: 4,
  });
  expect(counted["egress_bytes"]).toBeGreaterThan(20_000);
  expect(counted["ingress_bytes"]).toBeGreaterThan(50);
});

test("a wrong password and a parameter that is refused are counted where the tenant is known", async () => {
  const { pgPort, pgPooledPort } = await start({});
  for (const port of [pgPort, pgPooledPort]) {
    const wrong = connectTo(port, acme, { password: "wrong" });
    await expect(wrong).rejects.toMatchObject({ code: "28P01" });
    const forbidden = connectTo(port, acme, { options: "-c role=postgres" });
    await expect(forbidden).rejects.toMatchObject({ code: "22023" });
    const other = connectTo(port, { ...acme, tenantId: newId("ten") });
    await expect(other).rejects.toMatchObject({ code: "28P01" });
    connectRaw(port).destroy();
  }
  const counted = await stopAndCount();
  expect(counted["connections_refused"]).toBe(4);
  expect(counted["connections_opened"]).toBeUndefined();
});

test("who is idle outside of a transaction for too long is ended with a reason, and counted", async () => {
  const { pgPort, pgPooledPort } = await start({ idleTimeoutMs: 600 });
  for (const port of [pgPort, pgPooledPort]) {
    const idle = await login(port);
    const ended = new Promise((resolve) => idle.on("error", resolve));
    const busy = await login(port);
    const within = await login(port);
    await within.query("begin");
    const over = ended.then(() => true);
    while (!(await Promise.race([over, sleep(50)]))) await busy.query("select 1");
    expect(await ended).toMatchObject({
      ...{ code: "57P05", severity: "FATAL" },
      message: expect.stringContaining("idle for 0.6 s outside of a transaction"),
    });
    await busy.query("select pg_sleep(1)");
    await within.query("commit");
    await Promise.all([busy.end(), within.end()]);
  }
  expect((await stopAndCount())["idle_timeouts"]).toBe(2);
});

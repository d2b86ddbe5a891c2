/** What the ports refuse of one address and of one tenant, and that it is counted. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { encodeStartupMessage } from "@aerodb/postgres";
import { newId, sleep } from "@aerodb/runtime";
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

test("who comes over the connections of the plan is told so, on either port", async () => {
  const gateway = await start({});
  const root = await platform.instance.connectRoot();
  await root.query(`alter role ${acme.tenantId} connection limit 1`);
  const first = await login(gateway.pgPort);
  try {
    const full = { ...TOO_MANY, message: expect.stringMatching(/^too many .* plan allows 50 at/) };
    await expect(login(gateway.pgPort)).rejects.toMatchObject(full);
    await expect(login(gateway.pgPooledPort)).rejects.toMatchObject(full);
  } finally {
    await first.end();
    await root.query(`alter role ${acme.tenantId} connection limit 50`);
    await root.end();
  }
  expect(await stopAndCount()).toMatchObject({ connections_refused: 2 });
});

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

test("addresses that only open connections keep no other from logging in", async () => {
  const { pgPort } = await start({ halfOpen: 3 });
  const silent = ["127.0.0.2", "127.0.0.3", "127.0.0.2"].map((localAddress) =>
    connect({ port: pgPort, host: "127.0.0.1", localAddress }).on("error", () => undefined),
  );
  await Promise.all(silent.map((socket) => once(socket, "connect")));
  const ended = once(silent[0] ?? expect.fail(), "close");
  // In the place of the oldest of the address that has most.
  await (await login(pgPort)).end();
  await ended;
  expect(silent.map(({ closed }) => closed)).toEqual([true, false, false]);
  for (const socket of silent) socket.destroy();
});

/** One that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

test("whoever is refused before they are known is counted, by the limit", async () => {
  const limits = { halfOpenPerSource: 2, handshakeDeadlineMs: 1_000 };
  const { pgPort, metricsPort } = await start({ ...limits, metricsPort: await freePort() });
  const asked = [1, 2, 3].map(() => everything(connectRaw(pgPort)));
  const said = (await Promise.all(asked)).map((each) => /C(\w{5})\0/.exec(each.toString())?.[1]);
  expect(said.sort()).toEqual(["53300", "57014", "57014"]);
  const shown = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const counted = shown.match(/(?<=strangers_refused_total\{limit=").*/g);
  expect(counted).toEqual(['half_open"} 1', 'rate"} 0', 'late"} 2']);
});

test("a tenant that logs in too often is refused, on both ports together", async () => {
  const { pgPort, pgPooledPort } = await start({ ratePerTenant: 2 });
  // More than come in while so many log in, however long that takes.
  const ports = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? pgPort : pgPooledPort));
  const tried = await Promise.allSettled(ports.map(login));
  const clients = tried.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const refused = tried.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
  await Promise.all(clients.map((client) => client.end()));
  expect(clients.length).toBeGreaterThanOrEqual(4);
  expect(refused.length).toBeGreaterThan(0);
  for (const each of refused) expect(each).toMatchObject(TOO_MANY);
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

test("who is silent in a transaction on the pooled port gives its server back, and is counted", async () => {
  const { pgPort, pgPooledPort } = await start({ poolSize: 1, poolIdleInTransactionMs: 600 });
  const ofItsOwn = await login(pgPort);
  await ofItsOwn.query("begin");
  const silent = await login(pgPooledPort);
  const ended = once(silent, "error");
  await silent.query("begin; create table kept (id int)");
  const next = await login(pgPooledPort);
  const waited = next.query("select to_regclass('kept') as kept");
  expect(await ended).toMatchObject([
    {
      ...{ code: "25P03", severity: "FATAL" },
      message: expect.stringContaining("idle for 0.6 s in a transaction"),
    },
  ]);
  expect((await waited).rows).toEqual([{ kept: null }]);
  await next.query("begin; select pg_sleep(1)");
  for (let asked = 0; asked < 4; asked += 1) {
    await sleep(300);
    await next.query("select 1");
  }
  await next.query("commit");
  await sleep(1_000);
  await next.query("select 1");
  await ofItsOwn.query("commit");
  await Promise.all([next.end(), ofItsOwn.end()]);
  const counted = await stopAndCount();
  expect(counted["idle_in_transaction_timeouts"]).toBe(1);
  expect(counted["idle_timeouts"]).toBeUndefined();
});

test("who waits in vain for a server of the pool is counted, and as refused where it just came", async () => {
  const { pgPooledPort } = await start({ poolSize: 1, poolWaitMs: 400 });
  const [holder, waiting] = [await login(pgPooledPort), await login(pgPooledPort)];
  await holder.query("begin");
  const ended = once(waiting, "error");
  await expect(waiting.query("select 1")).rejects.toMatchObject(TOO_MANY);
  await ended;
  const comes = connectTo(pgPooledPort, acme, { application_name: "of other settings" });
  await expect(comes).rejects.toMatchObject(TOO_MANY);
  await holder.end();
  const counted = await stopAndCount();
  expect(counted).toMatchObject({ pool_timeouts: 2, connections_refused: 1 });
});

test("who does not prove in time who it is, is a stranger and not refused to a tenant", async () => {
  const limits = { authenticationDeadlineMs: 300, metricsPort: await freePort() };
  const { pgPort } = await start(limits);
  const late = connectRaw(pgPort);
  const { tenantId: user, name: database } = acme;
  late.write(encodeStartupMessage({ minor: 0, parameters: Object.entries({ user, database }) }));
  expect((await everything(late)).toString()).toContain("C57014\0");
  const shown = await (await fetch(`http://127.0.0.1:${limits.metricsPort}/metrics`)).text();
  expect(shown).toContain('strangers_refused_total{limit="late"} 1');
  expect((await stopAndCount())["connections_refused"]).toBeUndefined();
});

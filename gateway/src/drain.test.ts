/** A gateway that is stopped: nobody new comes in, and whoever is inside ends what has begun. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { GatewayConfiguration } from "./config.ts";
import type { Gateway } from "./gateway.ts";
import { throwawayIdentity } from "./throwaway-identity.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "./throwaway-platform.ts";
import { connectRaw, connectTo, everything, loggedIn } from "./wire/fake-client.ts";
import { encodeQuery } from "./wire/messages.ts";

let platform: ThrowawayPlatform;
let acme: ThrowawayTenant;
let generation = 1n;
let running: Gateway[] = [];

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
});
afterEach(async () => {
  await Promise.all(running.map((gateway) => gateway.stop()));
  running = [];
});
afterAll(() => platform.remove());

/** Starts a gateway that knows the tenant. */
async function start(changes: Partial<GatewayConfiguration>): Promise<Gateway> {
  generation += 1n;
  platform.control.whole = platform.tableOf([acme], { generation });
  const home = join(platform.directory, `gateway-${generation}`);
  const identity = await throwawayIdentity(platform.authority);
  const gateway = await platform.startGateway({ home, ...changes }, identity);
  running.push(gateway);
  await platform.followed(generation);
  return gateway;
}

function stop(gateway: Gateway): Promise<void> {
  running = running.filter((each) => each !== gateway);
  return gateway.stop();
}

function errorOf(client: pg.Client): Promise<unknown> {
  return new Promise((resolve) => client.once("error", resolve));
}

const SHUTS_DOWN = {
  code: "57P01",
  message: "terminating connection: the gateway is shutting down",
};

test.each(["pgPort", "pgPooledPort"] as const)(
  "on %s the idle are ended at once, others once they are outside of their transaction",
  async (port) => {
    const gateway = await start({ drainMs: 60_000 });
    const number = gateway[port];
    const [idle, within, asks] = [
      await connectTo(number, acme),
      await connectTo(number, acme),
      await connectTo(number, acme),
    ];
    const ends = [idle, within, asks].map(errorOf);
    await idle.query("select 1");
    await within.query("begin");
    const answer = asks.query("select pg_sleep(0.5), 1 as one");
    await sleep(100);
    const stopped = stop(gateway);
    expect(await ends[0]).toMatchObject(SHUTS_DOWN);
    await expect(connectTo(number, acme)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    const readiness = await fetch(`http://127.0.0.1:${gateway.restPort}/readyz`);
    expect(readiness.status).toBe(503);
    expect(JSON.stringify(await readiness.json())).toContain("The gateway is being stopped");
    expect((await answer).rows).toMatchObject([{ one: 1 }]);
    expect(await ends[2]).toMatchObject(SHUTS_DOWN);
    expect((await within.query("select 2 as two")).rows).toEqual([{ two: 2 }]);
    expect((await within.query("commit")).command).toBe("COMMIT");
    expect(await ends[1]).toMatchObject(SHUTS_DOWN);
    await stopped;
  },
);

test("clients that are waited for notice nothing, and the last to leave ends the wait", async () => {
  const gateway = await start({ waitForClientsMs: 120_000, drainMs: 0 });
  const ports = [gateway.pgPort, gateway.pgPooledPort];
  const clients = await Promise.all(ports.map((port) => connectTo(port, acme)));
  const stopped = stop(gateway);
  await expect
    .poll(() => connectTo(gateway.pgPooledPort, acme).catch(({ code }) => code))
    .toBe("ECONNREFUSED");
  for (const client of clients) {
    await client.query({ name: "one", text: "select 1 as one" });
    await sleep(100);
    const { rows } = await client.query({ name: "one", text: "select 1 as one" });
    expect(rows).toEqual([{ one: 1 }]);
    await client.end();
  }
  await stopped;
});

test("after the wait clients are told to leave", async () => {
  const gateway = await start({ waitForClientsMs: 300, drainMs: 60_000 });
  const clients = [
    await connectTo(gateway.pgPort, acme),
    await connectTo(gateway.pgPooledPort, acme),
  ];
  for (const client of clients) await client.query("select 1");
  const ends = clients.map(errorOf);
  const stopped = stop(gateway);
  expect((await clients[1]?.query("select 1 as one"))?.rows).toEqual([{ one: 1 }]);
  for (const end of ends) expect(await end).toMatchObject(SHUTS_DOWN);
  await stopped;
});

test("who is on the way in may ask once before it is ended", async () => {
  const gateway = await start({ drainMs: 60_000 });
  const socket = connectRaw(gateway.pgPort);
  await new Promise((resolve) => socket.once("connect", resolve));
  const client = await connectTo(gateway.pgPort, acme);
  const end = errorOf(client);
  const stopped = stop(gateway);
  await sleep(200);
  expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  expect(await end).toMatchObject(SHUTS_DOWN);
  socket.destroy();
  await stopped;
});

test("transactions that do not end are ended when the time is over", async () => {
  const gateway = await start({ drainMs: 300 });
  const clients = [
    await connectTo(gateway.pgPort, acme),
    await connectTo(gateway.pgPooledPort, acme),
  ];
  const copies = await loggedIn(gateway.pgPort, acme);
  const runsDirectly = await connectTo(gateway.pgPort, acme);
  for (const client of clients) await client.query("begin; select 1");
  copies.write(encodeQuery("create temp table kept (n int); copy kept from stdin"));
  const copied = everything(copies);
  const brokenDirectly = expect(runsDirectly.query("select pg_sleep(3)")).rejects.toMatchObject(
    SHUTS_DOWN,
  );
  const [waits, runs] = [errorOf(clients[0] as pg.Client), clients[1]?.query("select pg_sleep(9)")];
  const broken = expect(runs).rejects.toMatchObject(SHUTS_DOWN);
  await stop(gateway);
  expect(await waits).toMatchObject(SHUTS_DOWN);
  await broken;
  await brokenDirectly;
  expect((await copied).toString("latin1")).toContain(`C57P01\0M${SHUTS_DOWN.message}\0`);
  const root = await platform.instance.connectRoot();
  const left = "select from pg_stat_activity where usename = $1";
  await expect.poll(async () => (await root.query(left, [acme.tenantId])).rowCount).toBe(0);
  await root.end();
});

/** Whether the kernel hands on what it has accepted when a port is closed that others have too. */
const HANDS_ON = readFileSync("/proc/sys/net/ipv4/tcp_migrate_req", "utf8").trim() !== "0";

interface Writing {
  readonly writer: number;
  readonly port: number;
  /** Whether it connects for each transaction, and not only when it has to. */
  readonly connectsAnew: boolean;
}

/** Writes transactions until it is told to stop. */
async function write({ writer, port, connectsAnew }: Writing, until: { over: boolean }) {
  const found = { committed: [] as number[], connected: 0, wrong: [] as string[] };
  let client: pg.Client | undefined;
  let lost: Error | undefined;
  for (let n = 1; !until.over; n += 1) {
    let step = "connect";
    try {
      if (client === undefined || lost !== undefined) {
        lost = undefined;
        client = await connectTo(port, acme);
        found.connected += 1;
        client.on("error", (error) => (lost ??= error));
      }
      step = "begin";
      await client.query("begin");
      step = "insert";
      await client.query("insert into ledger values ($1, $2)", [writer, n]);
      step = "commit";
      await client.query("commit");
      found.committed.push(n);
      if (n % 5 === 0) await sleep(3);
      if (!connectsAnew) continue;
      await client.end();
      client = undefined;
    } catch (error) {
      lost ??= error as Error;
      const { code, message } = lost as pg.DatabaseError;
      if (step === "begin" && code === "57P01") continue;
      if (step === "connect" && code === "ECONNRESET" && !HANDS_ON) continue;
      found.wrong.push(`${step}: ${code} ${message}`);
    }
  }
  await client?.end();
  return found;
}

test("gateways are replaced one after the other, and no transaction breaks", async () => {
  const rounds = Number(process.env["DRAIN_ROUNDS"] ?? 4);
  const siblings = { siblingsDirectory: join(platform.directory, "siblings"), drainMs: 60_000 };
  let current = await start(siblings);
  const { pgPort, pgPooledPort } = current;
  const setup = await connectTo(pgPort, acme);
  await setup.query("create table ledger (writer int, n int)");
  await setup.end();
  const until = { over: false };
  const writers = Array.from({ length: 8 }, (_, writer) => {
    const port = writer % 2 === 0 ? pgPort : pgPooledPort;
    return write({ writer, port, connectsAnew: writer >= 4 }, until);
  });
  for (let round = 0; round < rounds; round += 1) {
    const next = await start({ ...siblings, pgPort, pgPooledPort });
    await sleep(200);
    await stop(current);
    current = next;
  }
  until.over = true;
  const found = await Promise.all(writers);
  expect(found.flatMap(({ wrong }) => wrong)).toEqual([]);
  expect(found.every(({ connected }) => connected > 1)).toBe(true);
  const root = await connectTo(pgPort, acme);
  const { rows } = await root.query(
    "select writer, array_agg(n order by n) as committed from ledger group by writer order by 1",
  );
  expect(rows).toEqual(found.map(({ committed }, writer) => ({ writer, committed })));
  await root.query("drop table ledger");
  await root.end();
}, 120_000);

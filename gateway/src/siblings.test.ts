/** Two gateways on one port: whichever the kernel chooses, a cancel request finds its query. */
import { chmodSync, mkdirSync, readdirSync, readlinkSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { BackendKey } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { GatewayConfiguration } from "./config.ts";
import type { Gateway } from "./gateway.ts";
import { throwawayIdentity } from "./throwaway-identity.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "./throwaway-platform.ts";
import { CancelKeys, LARGEST_NUMBER, numberIn } from "./wire/cancel-keys.ts";
import { cancelAt, connectTo, keyOf } from "./wire/fake-client.ts";

let platform: ThrowawayPlatform;
let acme: ThrowawayTenant;
let initech: ThrowawayTenant;
let directory: string;
let root: pg.Client;
let one: Gateway;
let other: Gateway;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  [acme, initech] = [
    await platform.instance.addTenant("acme"),
    await platform.instance.addTenant("initech"),
  ];
  platform.control.whole = platform.tableOf([acme, initech], { generation: 5n });
  root = await platform.instance.connectRoot();
  directory = join(platform.directory, "siblings");
  one = await platform.startGateway({ siblingsDirectory: directory });
  other = await beside({ siblingsDirectory: directory });
  while (acknowledged() < 2) await sleep(20);
});
afterAll(async () => {
  await root.end();
  await other.stop();
  await platform.remove();
});

/** Starts a gateway on the ports of the first. */
async function beside(changes: Partial<GatewayConfiguration>): Promise<Gateway> {
  const { pgPort, pgPooledPort } = one;
  const home = join(platform.directory, "beside");
  const own = await throwawayIdentity(platform.authority);
  return platform.startGateway({ home, pgPort, pgPooledPort, ...changes }, own);
}

/** How many gateways know the routes. */
function acknowledged(): number {
  return platform.control.requests.filter(({ generation }) => generation === 5n).length;
}

function clientsOf(tenant: ThrowawayTenant, port: number, many: number): Promise<pg.Client[]> {
  return Promise.all(Array.from({ length: many }, () => connectTo(port, tenant)));
}

/** A cancel that comes before its query cancels nothing. */
async function untilItSleeps(): Promise<void> {
  const sleeps =
    "select from pg_stat_activity where query = 'select pg_sleep(30)' and wait_event = 'PgSleep'";
  while ((await root.query(sleeps)).rowCount === 0) await sleep(5);
}

/** Resolves once the gateway that got it has done with it. */
async function cancel(key: BackendKey): Promise<void> {
  expect(await cancelAt(one.pgPort, key)).toHaveLength(0);
}

test.each(["pgPort", "pgPooledPort"] as const)(
  "a query is cancelled whichever gateway gets the request, on %s",
  async (port) => {
    const clients = await clientsOf(acme, one[port], 2);
    const makers = () => new Set(clients.map((client) => numberIn(keyOf(client)))).size;
    while (makers() < 2) clients.push(...(await clientsOf(acme, one[port], 1)));
    const [unharmed] = await clientsOf(initech, one[port], 1);
    const sleeping = unharmed?.query("select pg_sleep(2), 1 as one");
    // The kernel chooses by the port that a client has: in so many tries each key comes to both.
    for (let round = 0; round < 16; round += 1) {
      for (const client of clients) {
        const running = client.query("select pg_sleep(30)").catch((error: unknown) => error);
        await untilItSleeps();
        await cancel(keyOf(client));
        expect(await running).toMatchObject({ code: "57014" });
      }
    }
    expect((await sleeping)?.rows).toMatchObject([{ one: 1 }]);
    await Promise.all(clients.map((client) => client.end()));
    await unharmed?.end();
  },
  60_000,
);

test("a key that nobody made, or that is not quite right, cancels nothing", async () => {
  const [client] = await clientsOf(acme, one.pgPort, 1);
  if (client === undefined) throw new Error("bug: no client");
  const running = client.query("select pg_sleep(1), 1 as one");
  const { processId, secret } = keyOf(client);
  const near = Buffer.from(secret.map((byte, at) => (at === 3 ? byte ^ 1 : byte)));
  const unknown = [0, 1, 2, 3, LARGEST_NUMBER, -1].map((number) => ({
    processId: number * 2 ** 25 + 7,
    secret,
  }));
  for (const key of [{ processId, secret: near }, ...unknown])
    await Promise.all([cancel(key), cancel(key), cancel(key)]);
  expect((await running).rows).toMatchObject([{ one: 1 }]);
  await client.end();
});

test("keys say who made them, and hardly anything else", () => {
  for (const number of [0, 1, LARGEST_NUMBER]) {
    const keys = new CancelKeys(number);
    const made = Array.from({ length: 500 }, () => keys.register(() => undefined, 0));
    expect(made.every((key) => numberIn(key) === number && key.processId > 0)).toBe(true);
    expect(made.every(({ processId }) => processId < 2 ** 31)).toBe(true);
    expect(new Set(made.map(({ processId }) => processId)).size).toBeGreaterThan(490);
  }
});

test("a number belongs to a home, and is given back when its gateway stops", async () => {
  const homes = () => readdirSync(directory).map((name) => readlinkSync(join(directory, name)));
  expect(homes().sort()).toEqual([
    join(platform.directory, "beside"),
    join(platform.directory, "gateway"),
  ]);
  await other.stop();
  expect(homes()).toEqual([join(platform.directory, "gateway")]);
  // As one leaves it that was killed.
  symlinkSync(join(platform.directory, "beside"), join(directory, "9"));
  other = await beside({ siblingsDirectory: directory });
  expect(readdirSync(directory).sort()).toEqual(["1", "9"]);
});

test("a port that is shared is refused to who does not share it", async () => {
  const home = join(platform.directory, "stranger");
  const sentence = `Port ${one.pgPort} is taken: free it, or choose another`;
  await expect(beside({ home })).rejects.toThrow(sentence);
});

test("a directory that others may write to is refused", async () => {
  const open = join(platform.directory, "open");
  mkdirSync(open);
  chmodSync(open, 0o777);
  const home = join(platform.directory, "stranger");
  await expect(beside({ home, siblingsDirectory: open })).rejects.toThrow(
    "nobody else may write to it",
  );
});

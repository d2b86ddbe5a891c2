/** What the log says that clients did when their end began. */
import { silent, sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import type { ConnectionLine } from "./connections.ts";
import { connectTo, loggedIn, UNNAMED } from "./fake-client.ts";
import { encodeQuery, TERMINATE } from "./messages.ts";

const QUERY = encodeQuery("select 1");
const SLOW = encodeQuery("select pg_sleep(0.5)");
const PORTS = ["session", "pooled"] as const;

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let lines: ConnectionLine[] = [];

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  platform.control.whole = platform.tableOf([acme], { generation: 5n });
  const info = (line: ConnectionLine, event: string) => {
    if (event === "a connection ended") lines.push(line);
  };
  platform.logger = Object.assign(Object.create(silent), { info });
  gateway = await platform.startGateway();
  await platform.followed(5n);
});
beforeEach(() => {
  lines = [];
});
afterAll(() => platform.remove());

function numberOf(port: (typeof PORTS)[number]): number {
  return port === "session" ? gateway.pgPort : gateway.pgPooledPort;
}

const TOLD_MS = 150;

test.each([
  ["idle", [], "idle"],
  ["idle after a query", [QUERY], "idle"],
  ["in a transaction", [encodeQuery("begin")], "in transaction"],
  ["in a query", [SLOW], "active"],
  ["in a batch", [QUERY, UNNAMED.parse("select 1")], "active"],
])("who goes while it is %s is logged as that", async (_what, asked, state) => {
  for (const port of PORTS) {
    for (const goes of ["says goodbye", "closes", "breaks"] as const) {
      lines = [];
      const socket = await loggedIn(numberOf(port), acme);
      socket.resume();
      for (const message of asked) socket.write(message);
      await sleep(TOLD_MS);
      if (goes === "says goodbye") socket.write(TERMINATE);
      if (goes === "closes") socket.end();
      if (goes === "breaks") socket.resetAndDestroy();
      await expect.poll(() => lines, { message: goes }).toMatchObject([{ port, state }]);
      socket.destroy();
    }
  }
});

test("who had a server woken is logged as that, and nobody who came after", async () => {
  platform.edge.onWake = () => platform.instance.restart();
  for (const port of PORTS) {
    lines = [];
    await platform.instance.postmaster.stop("immediate");
    for (const name of ["first", "later"]) {
      const client = await connectTo(numberOf(port), acme, { application_name: `${name} ${port}` });
      await client.end();
    }
    await expect.poll(() => lines).toHaveLength(2);
    expect(lines).toMatchObject([
      { port, application: `first ${port}`, woke: true },
      { port, application: `later ${port}`, woke: false },
    ]);
  }
});

test("whom the gateway or the server ends is logged as what it was", async () => {
  for (const port of PORTS) {
    const client = await connectTo(numberOf(port), acme);
    await client.query("begin");
    const root = await platform.instance.connectRoot();
    await root.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", [
      acme.tenantId,
    ]);
    await root.end();
    await expect.poll(() => lines).toMatchObject([{ port, state: "in transaction" }]);
    lines = [];
  }
  for (const port of PORTS) await connectTo(numberOf(port), acme);
  for (const port of PORTS) await (await connectTo(numberOf(port), acme)).query("begin");
  await platform.stopGateway();
  expect(lines.map(({ port, state }) => `${port}: ${state}`).toSorted()).toEqual([
    ...["pooled: idle", "pooled: in transaction", "session: idle", "session: in transaction"],
  ]);
});

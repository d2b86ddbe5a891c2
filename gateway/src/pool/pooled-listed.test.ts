/** What those who run the gateway are told of clients of the pooled port. */
import { once } from "node:events";
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { MessageReader } from "@aerodb/postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import type { ConnectionLine } from "../wire/connections.ts";
import { connectTo, loggedIn, UNNAMED } from "../wire/fake-client.ts";
import { encodeQuery, SYNC } from "../wire/messages.ts";
import { nextMessage } from "../wire/peer.ts";
import { servingAcme } from "./throwaway-pool.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 2, poolWaitMs: 8_000 }));
});
afterAll(() => platform.remove());

async function listed(): Promise<readonly ConnectionLine[]> {
  const socketPath = join(platform.directory, "gateway", "admin.sock");
  const asked = request({ socketPath, path: "/connections" }).end();
  const [response] = await once(asked, "response");
  return JSON.parse(await text(response)).connections;
}

test.each(["session", "pooled"])("transactions on the %s port count one by one", async (port) => {
  const socket = await loggedIn(port === "pooled" ? gateway.pgPooledPort : gateway.pgPort, acme);
  const reader = new MessageReader();
  const parts = [UNNAMED.parse("select 1"), UNNAMED.bind, UNNAMED.execute(0), SYNC];
  const queries = ["begin", "select 1", "commit", "select 2", "select 1 / 0"].map(encodeQuery);
  socket.write(Buffer.concat([...queries, ...Array.from({ length: 10 }, () => parts).flat()]));
  const signal = AbortSignal.timeout(10_000);
  for (let left = 15; left > 0; ) {
    const message = await nextMessage({ stream: socket, reader }, signal);
    if (message?.type === "Z") left -= 1;
  }
  expect(await listed()).toMatchObject([{ port, transactions: 13 }]);
  socket.destroy();
  await expect.poll(listed).toEqual([]);
});

test.each(["session", "pooled"])(
  "a client of the %s port is seen in its transaction",
  async (port) => {
    const client = await connectTo(port === "pooled" ? gateway.pgPooledPort : gateway.pgPort, acme);
    const stateOf = async () => (await listed())[0]?.state;
    expect(await stateOf()).toBe("idle");
    await client.query("begin");
    expect(await stateOf()).toBe("in transaction");
    const busy = client.query("select pg_sleep(0.5)");
    await expect.poll(stateOf).toBe("active");
    await busy;
    expect(await stateOf()).toBe("in transaction");
    await client.query("commit");
    expect(await stateOf()).toBe("idle");
    await client.end();
    await expect.poll(listed).toEqual([]);
  },
);

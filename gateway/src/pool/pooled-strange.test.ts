/** What is no message of the protocol, on the pooled port. */
import { encodeMessage } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo, everything, loggedIn, UNNAMED } from "../wire/fake-client.ts";
import { encodeQuery } from "../wire/messages.ts";
import { servingAcme } from "./throwaway-pool.ts";

const ODD = encodeMessage("!", Buffer.from("abc"));

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let other: pg.Client;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 1, poolWaitMs: 4_000 }));
  other = await connectTo(gateway.pgPooledPort, acme);
});
afterAll(async () => {
  await other.end();
  await platform.remove();
});

test.each([
  ["no server", [ODD], 33],
  ["no server, as a late password", [encodeMessage("p", Buffer.from("abc\0"))], 112],
  ["an open transaction", [encodeQuery("begin"), ODD], 33],
  ["an open batch", [UNNAMED.parse("select 1"), ODD], 33],
  ["a query in the same breath", [Buffer.concat([encodeQuery("select 1"), ODD])], 33],
])("a type that no message has ends a client with %s, and nobody else", async (_w, said, type) => {
  for (const port of [gateway.pgPooledPort, gateway.pgPort]) {
    const socket = await loggedIn(port, acme);
    const answer = everything(socket);
    for (const part of said) {
      socket.write(part);
      await sleep(50);
    }
    const text = (await answer).toString("latin1");
    expect(text).toContain("SFATAL\0");
    expect(text).toContain(`C08P01\0Minvalid frontend message type ${type}\0`);
    expect((await other.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  }
});

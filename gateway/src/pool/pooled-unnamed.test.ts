/** The statement without a name, on a server that other clients use in between. */
import { decodeReport, encodeMessage, MessageReader } from "@aerodb/postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { loggedIn, UNNAMED } from "../wire/fake-client.ts";
import { encodeCloseStatement, encodeQuery, SYNC } from "../wire/messages.ts";
import { nextMessage } from "../wire/peer.ts";
import { servingAcme } from "./throwaway-pool.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 1, poolWaitMs: 4_000 }));
});
afterAll(() => platform.remove());

/** A client that asks one thing after the other. Each is answered by what it has said in short. */
async function asking(port: number) {
  const socket = await loggedIn(port, acme);
  const peer = { stream: socket, reader: new MessageReader() };
  const signal = AbortSignal.timeout(15_000);
  async function ask(...messages: readonly Buffer[]): Promise<string> {
    socket.write(Buffer.concat(messages));
    const said: string[] = [];
    for (;;) {
      const message = await nextMessage(peer, signal);
      if (message === undefined) return "the end";
      const { type, payload } = message;
      if (type === "Z") return said.join(" ");
      if (type === "D") said.push(payload.toString("latin1", 6));
      if (type === "E") said.push(decodeReport(payload).get("C") ?? "");
    }
  }
  return { ask, end: () => socket.destroy() };
}

const { parse, bind } = UNNAMED;
const NO_PORTAL = encodeMessage("E", Buffer.from("nope\0"), Buffer.alloc(4));
const RUN = [bind, UNNAMED.execute(0), SYNC];

/** A step of two clients. What the first hears of a pool must be what its own server says. */
type Step = readonly [who: "first" | "other", asks: readonly Buffer[]];

test.each<readonly [string, readonly Step[], readonly string[]]>([
  [
    "is there when another client has sent a query",
    [
      ["first", [parse("select 'mine'"), SYNC]],
      ["other", [encodeQuery("select 'other'")]],
      ["first", RUN],
    ],
    ["", "mine"],
  ],
  [
    "is there when another client has had one, and left something",
    [
      ["first", [parse("select 'mine'"), SYNC]],
      ["other", [parse("set work_mem = '5MB'"), ...RUN]],
      ["first", RUN],
      ["first", RUN],
    ],
    ["", "mine", "mine"],
  ],
  [
    "is none where only another client has one",
    [
      ["other", [parse("select 'other'"), ...RUN]],
      ["first", RUN],
    ],
    ["26000"],
  ],
  [
    "is gone after a query",
    [
      ["first", [parse("select 'mine'"), SYNC]],
      ["first", [encodeQuery("select 'else'")]],
      ["other", [parse("select 'other'"), ...RUN]],
      ["first", RUN],
    ],
    ["", "else", "26000"],
  ],
  [
    "is gone once it is closed",
    [
      ["first", [parse("select 'mine'"), encodeCloseStatement(""), SYNC]],
      ["first", RUN],
    ],
    ["", "26000"],
  ],
  [
    "is none where its Parse was in vain",
    [
      ["other", [parse("select 'other'"), ...RUN]],
      ["first", [parse("nonsense"), SYNC]],
      ["first", RUN],
    ],
    ["42601", "26000"],
  ],
  [
    "is none where its Parse was skipped",
    [
      ["other", [parse("select 'other'"), ...RUN]],
      ["first", [NO_PORTAL, parse("select 'mine'"), SYNC]],
      ["first", RUN],
    ],
    ["34000", "26000"],
  ],
  [
    "is there again after a transaction in which it could not be",
    [
      ["first", [parse("select 'mine'"), SYNC]],
      ["other", [encodeQuery("select 'other'")]],
      ["first", [NO_PORTAL, bind, SYNC]],
      ["first", RUN],
    ],
    ["", "34000", "mine"],
  ],
])("%s", async (_what, steps, heard) => {
  for (const port of [gateway.pgPort, gateway.pgPooledPort]) {
    const clients = { first: await asking(port), other: await asking(port) };
    const said: string[] = [];
    for (const [who, asks] of steps) {
      const answer = await clients[who].ask(...asks);
      if (who === "first") said.push(answer);
    }
    expect(said, port === gateway.pgPort ? "of its own" : "of the pool").toEqual(heard);
    for (const client of Object.values(clients)) client.end();
  }
});

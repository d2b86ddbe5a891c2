/** Messages of the extended protocol that are not what they say: Postgres refuses the message. */
import { decodeReport, encodeMessage, MessageReader } from "@aerodb/postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { loggedIn, UNNAMED } from "../wire/fake-client.ts";
import { encodeParse, encodeQuery, SYNC } from "../wire/messages.ts";
import { nextMessage } from "../wire/peer.ts";
import { servingAcme } from "./throwaway-pool.ts";

const BODY = Buffer.from("select 1 as one\0\0\0");
const NO_END = Buffer.from("abc");

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 1, poolWaitMs: 4_000 }));
});
afterAll(() => platform.remove());

/** What is answered to each of some questions, an error by all that a client is told of it. */
async function answers(port: number, asked: readonly Buffer[]): Promise<string[]> {
  const socket = await loggedIn(port, acme);
  const peer = { stream: socket, reader: new MessageReader() };
  const signal = AbortSignal.timeout(10_000);
  const said: string[] = [];
  for (const question of asked) {
    socket.write(question);
    for (let ready = false; !ready; ) {
      const message = await nextMessage(peer, signal);
      if (message === undefined) return [...said, "the end"];
      const report = message.type === "E" ? decodeReport(message.payload) : undefined;
      const told = report === undefined ? [] : ["V", "C", "M"].map((field) => report.get(field));
      said.push([message.type, ...told].join(" "));
      ready = message.type === "Z";
    }
  }
  socket.destroy();
  return said;
}

test.each([
  ["a Parse whose name has no end", encodeMessage("P", NO_END)],
  ["a Parse of nothing", encodeMessage("P")],
  ["a Parse whose text has no end", encodeMessage("P", Buffer.from("mine\0select 1"))],
  ["a Parse that is too long", encodeParse("mine", Buffer.concat([BODY, NO_END]))],
  ["a Bind whose portal has no end", encodeMessage("B", NO_END)],
  ["a Bind whose statement has no end", encodeMessage("B", Buffer.from("\0abc"))],
  ["a Bind of nothing", encodeMessage("B")],
  ["a Bind that ends in the midst", encodeMessage("B", Buffer.from("\0known\0\0"))],
  ["a Describe whose name has no end", encodeMessage("D", Buffer.from("Sabc"))],
  ["a Describe of nothing", encodeMessage("D")],
  ["a Close whose name has no end", encodeMessage("C", Buffer.from("Sknown"))],
  ["a Close of nothing", encodeMessage("C")],
  ["an Execute of nothing", encodeMessage("E")],
])("%s is refused as by a server of its own, and the session goes on", async (_what, message) => {
  const known = Buffer.from("\0known\0\0\0\0\0\0\0");
  const asked = [
    Buffer.concat([encodeParse("known", BODY), SYNC]),
    // What comes behind it is skipped.
    Buffer.concat([message, encodeParse("later", BODY), UNNAMED.execute(0), SYNC]),
    Buffer.concat([encodeMessage("B", known), UNNAMED.execute(0), SYNC]),
    Buffer.concat([encodeParse("later", BODY), SYNC]),
    encodeQuery("begin"),
    Buffer.concat([message, SYNC]),
    encodeQuery("rollback"),
    encodeQuery("select 2 as two"),
  ];
  const direct = await answers(gateway.pgPort, asked);
  expect(direct).not.toContain("the end");
  expect(direct.filter((each) => each.startsWith("E ERROR 08P01 "))).toHaveLength(2);
  expect(await answers(gateway.pgPooledPort, asked)).toEqual(direct);
});

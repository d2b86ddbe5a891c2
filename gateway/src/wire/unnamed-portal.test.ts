/** The portal without a name is there for those who bound it, and for nobody else. */
import type { Socket } from "node:net";
import { encodeMessage, MessageReader } from "@aerodb/postgres";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo, loggedIn, UNNAMED } from "./fake-client.ts";
import { CLIENT, encodeQuery, SYNC } from "./messages.ts";
import { nextMessage } from "./peer.ts";
import { UnnamedPortal } from "./unnamed-portal.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let hostile: ThrowawayTenant;
let neighbour: ThrowawayTenant;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  hostile = await platform.instance.addTenant("hostile");
  neighbour = await platform.instance.addTenant("neighbour");
  platform.control.whole = platform.tableOf([hostile, neighbour], { generation: 5n });
  gateway = await platform.startGateway();
  await platform.followed(5n);
});
afterAll(() => platform.remove());

const { parse, bind: BIND, execute: executeRows } = UNNAMED;
const DESCRIBE = encodeMessage("D", Buffer.from("P\0"));

/** The types of what comes until so many ReadyForQuery, errors with their SQLSTATE. */
async function said(socket: Socket, readies: number): Promise<string> {
  const peer = { stream: socket, reader: new MessageReader() };
  let text = "";
  for (let left = readies; left > 0; ) {
    const message = await nextMessage(peer, AbortSignal.timeout(10_000));
    if (message === undefined) return `${text}(closed)`;
    const state = /\0C(\w{5})\0/.exec(message.payload.toString("latin1"))?.[1] ?? "";
    text += message.type === "E" ? `E${state}` : message.type;
    if (message.type === "Z") left -= 1;
  }
  return text;
}

test.each(["pgPort", "pgPooledPort"] as const)(
  "what a query that failed left behind cannot be executed, through %s",
  async (which) => {
    const other = await connectTo(gateway[which], neighbour);
    const pid = async () => (await other.query("select pg_backend_pid() as pid")).rows[0].pid;
    const before = await pid();
    const socket = await loggedIn(gateway[which], hostile);
    const copy = encodeQuery("copy (select generate_series(1, 100)) to stdout");
    const left = [encodeQuery("begin"), encodeQuery("discard all"), copy];
    socket.write(Buffer.concat([...left, executeRows(0), SYNC]));
    expect(await said(socket, 4)).toBe("CZE25001ZE25P02ZE34000Z");
    // A Bind in vain is none, however it is cut off from what follows.
    socket.write(Buffer.concat([BIND, SYNC, DESCRIBE, SYNC]));
    expect(await said(socket, 2)).toBe("E26000ZE34000Z");
    socket.write(Buffer.concat([BIND, SYNC]));
    expect(await said(socket, 1)).toBe("E26000Z");
    socket.write(Buffer.concat([executeRows(0), SYNC]));
    expect(await said(socket, 1)).toBe("E34000Z");
    socket.destroy();
    expect(await pid()).toBe(before);
    await other.end();
  },
);

test.each(["pgPort", "pgPooledPort"] as const)(
  "one that was bound is executed bit by bit, over several Syncs, through %s",
  async (which) => {
    const socket = await loggedIn(gateway[which], hostile);
    const begun = [encodeQuery("begin"), parse("select generate_series(1, 5)"), BIND, DESCRIBE];
    socket.write(Buffer.concat([...begun, executeRows(2), SYNC]));
    expect(await said(socket, 2)).toBe("CZ12TDDsZ");
    socket.write(Buffer.concat([executeRows(2), SYNC]));
    expect(await said(socket, 1)).toBe("DDsZ");
    socket.write(Buffer.concat([executeRows(2), SYNC]));
    expect(await said(socket, 1)).toBe("DCZ");
    socket.destroy();
  },
);

/** What a client may say, in bytes enough to see the name. */
const SAYS = {
  bind: [CLIENT.bind, BIND],
  execute: [CLIENT.execute, executeRows(0)],
  query: [CLIENT.query, encodeQuery("select 1")],
  sync: [CLIENT.sync, SYNC],
} as const;

test("whatever is said and answered when, it is used only after a Bind that was not in vain", () => {
  const word = fc.constantFrom(...(Object.keys(SAYS) as (keyof typeof SAYS)[]));
  const step = fc.oneof(word, fc.constantFrom("ok" as const, "failed" as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const portal = new UnnamedPortal();
      // What the server will find in order: of each Sync or query how it ends is decided late.
      const queue: { binds: boolean; query: boolean }[] = [];
      let open = { binds: false, query: false };
      let boundForSure = false;
      for (const each of steps) {
        if (each === "ok" || each === "failed") {
          const done = queue.shift();
          if (done === undefined) continue;
          portal.answered(each === "failed");
          if (done.query || each === "failed") boundForSure = false;
          else if (done.binds) boundForSure = true;
          continue;
        }
        const [type, bytes] = SAYS[each];
        const passes = portal.insteadOf(type, bytes) === undefined;
        if (each === "execute" && passes) {
          const later = queue.some(({ binds, query }) => binds || query);
          expect(open.binds || (boundForSure && !later)).toBe(true);
        }
        if (passes) portal.note(type, bytes);
        if (each === "bind") open.binds = true;
        if (each === "query" || each === "sync") {
          queue.push({ binds: each === "sync" && open.binds, query: each === "query" });
          open = { binds: false, query: false };
        }
      }
    }),
  );
});

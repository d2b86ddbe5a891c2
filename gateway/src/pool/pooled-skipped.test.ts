/** What a server skips after an error, up to the Sync. */
import type { Socket } from "node:net";
import { encodeMessage, MessageReader } from "@aerodb/postgres";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ThrowawayPlatform } from "../throwaway-platform.ts";
import { loggedIn } from "../wire/fake-client.ts";
import { encodeParse, SYNC } from "../wire/messages.ts";
import { nextMessage } from "../wire/peer.ts";
import { servingAcme } from "./throwaway-pool.ts";

const BODY = Buffer.from("select 1 as one\0\0\0");
const NO_PORTAL = encodeMessage("E", Buffer.from("nope\0"), Buffer.alloc(4));

function encodeClose(name: string): Buffer {
  return encodeMessage("C", Buffer.from(`S${name}\0`));
}

/** Binds the portal without a name to a statement without parameters. */
function encodeBind(name: string): Buffer {
  return encodeMessage("B", Buffer.from(`\0${name}\0`), Buffer.alloc(6));
}

let platform: ThrowawayPlatform;
let socket: Socket;
let ask: (...messages: readonly Buffer[]) => Promise<string>;

beforeEach(async () => {
  const serving = await servingAcme({ poolSize: 1 });
  platform = serving.platform;
  socket = await loggedIn(serving.gateway.pgPooledPort, serving.acme);
  const peer = { stream: socket, reader: new MessageReader() };
  const signal = AbortSignal.timeout(30_000);
  ask = async (...messages) => {
    socket.write(Buffer.concat(messages));
    for (let types = ""; ; ) {
      types += (await nextMessage(peer, signal))?.type ?? ".";
      if (/[Z.]$/.test(types)) return types;
    }
  };
});
afterEach(async () => {
  socket.destroy();
  await platform.remove();
});

test("a Close that was skipped leaves the statement, and one that was not does not", async () => {
  expect(await ask(encodeParse("kept", BODY), SYNC)).toBe("1Z");
  expect(await ask(NO_PORTAL, encodeClose("kept"), SYNC)).toBe("EZ");
  expect(await ask(encodeBind("kept"), SYNC)).toBe("2Z");
  expect(await ask(encodeParse("kept", BODY), SYNC)).toBe("EZ");
  expect(await ask(encodeClose("kept"), NO_PORTAL, SYNC)).toBe("3EZ");
  expect(await ask(encodeBind("kept"), SYNC)).toBe("EZ");
  // Closed and parsed anew in one breath, of which neither came to be.
  expect(await ask(encodeParse("kept", BODY), SYNC)).toBe("1Z");
  const other = Buffer.from("select 2 as two, 3 as three\0\0\0");
  expect(await ask(NO_PORTAL, encodeClose("kept"), encodeParse("kept", other), SYNC)).toBe("EZ");
  expect(await ask(encodeBind("kept"), SYNC)).toBe("2Z");
});

test("what was to make room on a server and did not is used there again", async () => {
  for (let at = 0; at < 256; at += 1) {
    const body = Buffer.from(`select ${at}\0\0\0`);
    expect(await ask(encodeParse(`s${at}`, body), SYNC)).toBe("1Z");
  }
  // The oldest is to go for it, and stays.
  expect(await ask(NO_PORTAL, encodeParse("one more", BODY), SYNC)).toBe("EZ");
  expect(await ask(encodeBind("s0"), SYNC)).toBe("2Z");
});

test("a Parse that was skipped leaves no name, though the server knows its text", async () => {
  expect(await ask(encodeParse("known", BODY), SYNC)).toBe("1Z");
  expect(await ask(NO_PORTAL, encodeParse("later", BODY), SYNC)).toBe("EZ");
  expect(await ask(encodeParse("later", BODY), SYNC)).toBe("1Z");
});

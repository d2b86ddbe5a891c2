/** What is said before anybody says who they are: which protocol is spoken, and who is late. */
import { once } from "node:events";
import { connect as connectSocket, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { encodeSslRequest, encodeStartupMessage, socketPath } from "@aerodb/postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectRaw, everything, loggedIn } from "./fake-client.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  platform.control.whole = platform.tableOf([acme], { generation: 5n });
  gateway = await platform.startGateway({
    handshakeDeadlineMs: 300,
    authenticationDeadlineMs: 600,
  });
  await platform.followed(5n);
});
afterAll(() => platform.remove());

/** What is said of the protocol; empty when authentication comes first. */
async function negotiated(socket: Socket, minor: number, extension?: string): Promise<string> {
  const { tenantId: user } = acme;
  const wanted = extension === undefined ? {} : { [`_pq_.${extension}`]: "1" };
  const parameters = Object.entries({ user, database: "aerodb", ...wanted });
  socket.write(encodeStartupMessage({ minor, parameters }));
  let said = Buffer.alloc(0);
  while (said.length < 5 || said.length <= said.readUInt32BE(1)) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    said = Buffer.concat([said, chunk]);
  }
  socket.destroy();
  if (said[0] === "R".charCodeAt(0)) return "";
  return said.toString("latin1", 0, 1 + said.readUInt32BE(1));
}

function connectDirectly(): Socket {
  return connectSocket(socketPath(platform.instance.settings.socketDirectory));
}

test.each([
  [0, undefined],
  [2, undefined],
  [3, undefined],
  [9, undefined],
  [9_999, "test"],
  [2, "test"],
  [0, "test"],
])(
  "who asks for protocol 3.%d and the extension %s hears what Postgres says",
  async (minor, extension) => {
    const expected = await negotiated(connectDirectly(), minor, extension);
    expect(await negotiated(connectRaw(gateway.pgPort), minor, extension)).toBe(expected);
  },
);

test("who asks for protocol 3.1, which never was, speaks 3.0", async () => {
  const said = await negotiated(connectRaw(gateway.pgPort), 1);
  expect(said).toBe("v\0\0\0\x0c\0\x03\0\0\0\0\0\0");
});

test.each([
  [0, 4],
  [1, 4],
  [2, 32],
  [9, 32],
])(
  "a client that asks for protocol 3.%d has a key as what is spoken wants it",
  async (...which) => {
    const [minor, bytes] = which;
    for (const port of [gateway.pgPort, gateway.pgPooledPort]) {
      let secretBytes = 0;
      const hear = ({ type, payload }: { readonly type: string; readonly payload: Buffer }) => {
        if (type === "K") secretBytes = payload.length - 4;
      };
      (await loggedIn(port, acme, hear, minor)).destroy();
      expect(secretBytes).toBe(bytes);
    }
  },
);

test.each(["in the clear", "in the midst of a packet", "over TLS"])(
  "who does not say in time who it is, is told so: %s",
  async (how) => {
    const socket = connectRaw(gateway.pgPort);
    if (how === "in the midst of a packet") socket.write(Buffer.from([0, 0, 0, 80, 0]));
    let stream: Socket = socket;
    if (how === "over TLS") {
      socket.write(encodeSslRequest());
      await once(socket, "data");
      stream = connectTls({ socket, rejectUnauthorized: false });
    }
    const said = (await everything(stream)).toString("latin1");
    expect(said).toContain("SFATAL");
    expect(said).toContain("C57014");
    expect(said).toContain("canceling authentication due to timeout");
  },
);

test("who does not prove in time who it is, is told so", async () => {
  const socket = connectRaw(gateway.pgPort);
  const parameters = Object.entries({ user: "somebody", database: "acme" });
  socket.write(encodeStartupMessage({ minor: 0, parameters }));
  const said = (await everything(socket)).toString("latin1");
  expect(said).toContain("SCRAM-SHA-256");
  expect(said).toContain("C57014");
});

test("who is late in the midst of TLS is not told what would be no part of it", async () => {
  const socket = connectRaw(gateway.pgPort);
  socket.write(encodeSslRequest());
  expect((await everything(socket)).toString()).toBe("S");
});

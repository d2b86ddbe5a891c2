import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { MessageReader } from "@aerodb/postgres";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TenantTraffic } from "../traffic.ts";
import { ConnectionTraffic } from "./connection-traffic.ts";
import { encodeQuery } from "./messages.ts";
import { DirectRelay } from "./relay.ts";

const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);
const TERMINATE = Buffer.from([0x58, 0, 0, 0, 4]);

let listener: Server;
let application: Socket;
let client: Socket;

beforeEach(async () => {
  listener = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  await connectAnew();
});

async function connectAnew(): Promise<void> {
  const accepted = once(listener, "connection");
  application = connect((listener.address() as AddressInfo).port, "127.0.0.1");
  [client] = (await accepted) as [Socket];
}
afterEach(() => {
  application.destroy();
  client.destroy();
  listener.close();
});

/** A server that closes when it is told goodbye, as Postgres does. */
function instance(): Duplex {
  const server: Duplex = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      if (chunk.equals(TERMINATE)) server.destroy();
      done();
    },
  });
  return server;
}

function relayBetween(server: Duplex): DirectRelay {
  const relay = new DirectRelay(client, new ConnectionTraffic(new TenantTraffic()));
  relay.attach({ stream: server, reader: new MessageReader() });
  return relay;
}

test("a client that says goodbye hears no error, though the server closes first", async () => {
  const server = instance();
  relayBetween(server);
  server.push(READY);
  await once(application, "readable");
  application.write(TERMINATE);
  expect(await buffer(application)).toEqual(READY);
});

test("a client that waits for nothing is told when its instance goes away", async () => {
  const server = instance();
  relayBetween(server);
  server.push(READY);
  await once(application, "readable");
  server.destroy();
  expect((await buffer(application)).toString("latin1")).toContain("C57P01");
});

test("a server that speaks something else is left, and its client closed", async () => {
  const server = instance();
  relayBetween(server);
  server.push(READY);
  await once(application, "readable");
  server.push(Buffer.from([0x44, 0, 0, 0, 0]));
  expect((await buffer(application)).subarray(0, READY.length)).toEqual(READY);
  expect(server.destroyed).toBe(true);
});

test.each([
  ["-1", -1],
  ["0", 0],
  ["3", 3],
  ["more than 1 GiB", 0x4000_0000],
])("a message of the length %s is told to be the client's fault", async (_name, length) => {
  for (const before of [Buffer.alloc(0), encodeQuery("select 1")]) {
    const server = instance();
    relayBetween(server);
    server.push(READY);
    await once(application, "readable");
    const head = Buffer.from([0x51, 0, 0, 0, 0]);
    head.writeInt32BE(length, 1);
    application.write(Buffer.concat([before, head]));
    const said = (await buffer(application)).toString("latin1");
    expect(said).toContain("C08P01");
    expect(said).toContain("invalid message length");
    expect(said).not.toContain("57P01");
    expect(server.destroyed).toBe(true);
    await connectAnew();
  }
});

/** An instance is parked while a client is in the midst of something, which it is let finish. */
import type { Socket } from "node:net";
import { encodeMessage, MessageReader } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { loggedIn, UNNAMED } from "./fake-client.ts";
import { encodeQuery, SYNC } from "./messages.ts";
import { nextMessage, type Peer } from "./peer.ts";
import { setParked as tellParked } from "./throwaway-parking.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let root: pg.Client;
let generation = 5n;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  platform.control.whole = platform.tableOf([acme], { generation });
  gateway = await platform.startGateway();
  await platform.followed(generation);
  root = await platform.instance.connectRoot();
});
afterAll(async () => {
  await root.end();
  await platform.remove();
});

function setParked(parked: boolean): Promise<void> {
  generation += 1n;
  return tellParked(platform, acme, { generation, parked });
}

async function sessions(): Promise<number> {
  const count = "select count(*)::int as n from pg_stat_activity where usename = $1";
  return (await root.query(count, [acme.tenantId])).rows[0].n;
}

const { parse, bind: BIND, execute } = UNNAMED;
const EXECUTE = execute(0);
const FLUSH = encodeMessage("H");
const COPY_DONE = encodeMessage("c");
const row = (text: string) => encodeMessage("d", Buffer.from(`${text}\n`));
const asked = (sql: string) => Buffer.concat([parse(sql), BIND, EXECUTE]);
const half = (message: Buffer) => [message.subarray(0, 7), message.subarray(7)] as const;
const [FIRST_HALF, SECOND_HALF] = half(encodeQuery("select 'whole'"));

class Client {
  readonly #socket: Socket;
  readonly #peer: Peer;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#peer = { stream: socket, reader: new MessageReader() };
  }

  /** Sends, and returns the types of what comes up to one of them. */
  async say(bytes: Buffer, until: string): Promise<string> {
    this.#socket.write(bytes);
    for (let types = ""; ; ) {
      const message = await nextMessage(this.#peer, AbortSignal.timeout(10_000));
      types += message?.type ?? "(closed)";
      if (message === undefined || message.type === until) return types;
    }
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  leave(): void {
    this.#socket.destroy();
  }
}

interface Case {
  readonly what: string;
  /** Up to where it is parked, and what it hears until then. */
  readonly begins: (client: Client) => Promise<string>;
  readonly ends: (client: Client) => Promise<string>;
  readonly hears: readonly [string, string];
}

const CASES: readonly Case[] = [
  {
    what: "half of a message",
    begins: async (client) => {
      client.write(FIRST_HALF);
      return "";
    },
    ends: (client) => client.say(SECOND_HALF, "Z"),
    hears: ["", "TDCZ"],
  },
  {
    what: "a pipeline whose Sync is still to come",
    begins: (client) => client.say(Buffer.concat([asked("select 1"), FLUSH]), "C"),
    ends: (client) => client.say(Buffer.concat([asked("select 2"), SYNC]), "Z"),
    hears: ["12DC", "12DCZ"],
  },
  {
    what: "two questions of which one is answered",
    begins: (client) => {
      const slow = asked("select pg_sleep(0.5)");
      return client.say(Buffer.concat([asked("select 1"), SYNC, slow, SYNC]), "Z");
    },
    ends: (client) => client.say(Buffer.alloc(0), "Z"),
    hears: ["12DCZ", "12DCZ"],
  },
  {
    what: "a COPY in by a query",
    begins: (client) => client.say(encodeQuery("copy t from stdin"), "G"),
    ends: (client) => client.say(Buffer.concat([row("1"), row("2"), COPY_DONE]), "Z"),
    hears: ["G", "CZ"],
  },
  {
    what: "a COPY in whose first Sync no server hears",
    begins: (client) => client.say(Buffer.concat([asked("copy t from stdin"), SYNC]), "G"),
    ends: (client) => client.say(Buffer.concat([row("1"), COPY_DONE, SYNC]), "Z"),
    hears: ["12G", "CZ"],
  },
  {
    what: "a COPY in that fails",
    begins: (client) => client.say(Buffer.concat([asked("copy t from stdin"), FLUSH]), "G"),
    ends: (client) => client.say(Buffer.concat([row("nothing"), COPY_DONE, SYNC]), "Z"),
    hears: ["12G", "EZ"],
  },
  {
    what: "rows that it has not fetched yet",
    begins: async (client) => {
      await client.say(encodeQuery("begin"), "Z");
      const fetches = [parse("select generate_series(1, 3)"), BIND, execute(2), SYNC];
      return client.say(Buffer.concat(fetches), "Z");
    },
    ends: async (client) => {
      const rest = await client.say(Buffer.concat([EXECUTE, SYNC]), "Z");
      return rest + (await client.say(encodeQuery("commit"), "Z"));
    },
    hears: ["12DDsZ", "DCZCZ"],
  },
];

test.each(CASES)("$what", async ({ begins, ends, hears }) => {
  const client = new Client(await loggedIn(gateway.pgPort, acme));
  await client.say(encodeQuery("create table if not exists t (n int)"), "Z");
  const first = await begins(client);
  await setParked(true);
  await sleep(50);
  expect(await sessions()).toBe(1);
  expect([first, await ends(client)]).toEqual(hears);
  await expect.poll(sessions, { timeout: 10_000 }).toBe(0);
  client.write(encodeQuery("select 'on'"));
  await setParked(false);
  expect(await client.say(Buffer.alloc(0), "Z")).toBe("TDCZ");
  client.leave();
});

test("a Bind uses what was parsed without a name before", async () => {
  const client = new Client(await loggedIn(gateway.pgPort, acme));
  await client.say(Buffer.concat([parse("select 7"), SYNC]), "Z");
  await setParked(true);
  await expect.poll(sessions, { timeout: 10_000 }).toBe(0);
  await setParked(false);
  expect(await client.say(Buffer.concat([BIND, EXECUTE, SYNC]), "Z")).toBe("2DCZ");
  client.leave();
});

/** What clients of the pooled port do while no server works for them, or ask in halves. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { promisify } from "node:util";
import { encodeCancelRequest, MessageReader } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { connectRaw, connectTo, loggedIn, UNNAMED } from "../wire/fake-client.ts";
import { encodeParse, encodeQuery, SYNC } from "../wire/messages.ts";
import { nextMessage } from "../wire/peer.ts";
import { servingAcme } from "./throwaway-pool.ts";

const run = promisify(execFile);

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({
    poolSize: 1,
    poolWaitMs: 8_000,
    idleTimeoutMs: 2_000,
  }));
});
afterAll(() => platform.remove());

function login(): Promise<pg.Client> {
  return connectTo(gateway.pgPooledPort, acme);
}

/** Types of messages up to the next ReadyForQuery, with the code of an error. */
async function answerOf(socket: Socket, reader = new MessageReader()): Promise<string> {
  let types = "";
  const signal = AbortSignal.timeout(10_000);
  while (!types.endsWith("Z")) {
    const message = await nextMessage({ stream: socket, reader }, signal);
    if (message === undefined) return `${types}.`;
    const code = /C([0-9A-Z]{5})\0/.exec(message.payload.toString("latin1"))?.[1];
    types += message.type === "E" ? `E${code}` : message.type;
  }
  return types;
}

test("half a message takes no server, is answered once whole, and is idle meanwhile", async () => {
  const half = await loggedIn(gateway.pgPooledPort, acme);
  const query = encodeQuery("select 1");
  half.write(query.subarray(0, 9));
  const other = await login();
  expect((await other.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  half.write(query.subarray(9));
  expect(await answerOf(half)).toBe("TDCZ");
  half.write(Buffer.concat([query, query.subarray(0, 9)]));
  expect(await answerOf(half)).toBe("TDCZ");
  expect((await other.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await other.end();
  expect(await answerOf(half)).toBe("E57P05.");
});

test.each([
  ["a query", [encodeQuery("select 1")], [encodeQuery("select 2")]],
  [
    "a batch that is not all there",
    [UNNAMED.parse("select 1"), UNNAMED.bind],
    [UNNAMED.execute(0), SYNC, encodeQuery("select 2")],
  ],
])("%s that waits for a server can be cancelled", async (_what, asked, then) => {
  const { socket, key } = await loggedInWithKey();
  const holder = await login();
  await holder.query("begin");
  const reader = new MessageReader();
  socket.write(Buffer.concat(asked));
  await sleep(100);
  const canceller = connectRaw(gateway.pgPooledPort);
  canceller.write(encodeCancelRequest(key));
  await new Promise((resolve) => canceller.resume().once("close", resolve));
  socket.write(Buffer.concat(then));
  expect(await answerOf(socket, reader)).toBe("E57014Z");
  await holder.query("commit");
  expect(await answerOf(socket, reader)).toBe("TDCZ");
  socket.destroy();
  await holder.end();
});

test("DEALLOCATE finds what a message has prepared, on whichever server that was", async () => {
  const client = await login();
  const named = { name: "Of Mine", text: "select 1 as one" };
  for (const sql of ['deallocate "Of Mine"', 'DEALLOCATE PREPARE "Of Mine";']) {
    expect((await client.query(named)).rows).toEqual([{ one: 1 }]);
    expect((await client.query(sql)).command).toBe("DEALLOCATE");
    // As the driver does not know, it asks for a statement that is there no more.
    await expect(client.query(named)).rejects.toMatchObject({ code: "26000" });
    forgetPrepared(client);
  }
  await client.query(named);
  expect((await client.query({ text: 'deallocate "Of Mine"', values: [] })).rows).toEqual([]);
  await expect(client.query(named)).rejects.toMatchObject({ code: "26000" });
  await client.query("prepare by_sql as select 2 as two; deallocate by_sql");
  await expect(client.query("deallocate nothing")).rejects.toMatchObject({ code: "26000" });
  await client.end();
});

test("in a transaction that failed DEALLOCATE fails, and the statement stays", async () => {
  const client = await login();
  const named = { name: "stays", text: "select 1 as one" };
  await client.query(named);
  await client.query("begin");
  await expect(client.query("select from nowhere")).rejects.toMatchObject({ code: "42P01" });
  await expect(client.query("deallocate stays")).rejects.toMatchObject({ code: "25P02" });
  await client.query("rollback");
  expect((await client.query(named)).rows).toEqual([{ one: 1 }]);
  await client.end();
});

test.skipIf(!existsSync("/usr/lib/python3/dist-packages/psycopg"))(
  "psycopg gives up what it has prepared and goes on",
  async () => {
    const { tenantId, password, name } = acme;
    const script = `
import psycopg
with psycopg.connect(host="127.0.0.1", port=${gateway.pgPooledPort}, user="${tenantId}",
                     password="${password}", dbname="${name}", autocommit=True) as conn:
    conn.prepare_threshold = 0
    conn.prepared_max = 5
    for n in range(30):
        assert conn.execute(f"select {n} as n, %s::int", [n]).fetchone() == (n, n)
    with conn.pipeline():
        for n in range(30):
            assert conn.execute(f"select {n} as m, %s::int", [n]).fetchone() == (n, n)
`;
    await run("/usr/bin/python3", ["-c", script], { timeout: 30_000 });
  },
);

test("a statement that is too long to be kept is refused with the limit", async () => {
  const socket = await loggedIn(gateway.pgPooledPort, acme);
  const body = Buffer.alloc(16 * 1024 * 1024, 0x20);
  socket.write(encodeParse("long", body).subarray(0, 1_000));
  expect(await answerOf(socket)).toBe("E54000.");
});

test("a server that says why it ends is not spoken for", async () => {
  for (const port of [gateway.pgPort, gateway.pgPooledPort]) {
    const socket = await loggedIn(port, acme);
    const reader = new MessageReader();
    socket.write(encodeQuery("begin"));
    expect(await answerOf(socket, reader)).toBe("CZ");
    const admin = await connectTo(gateway.pgPort, acme);
    await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where pid <> pg_backend_pid() and usename = current_user`);
    expect(await answerOf(socket, reader)).toBe("E57P01.");
    await admin.end();
  }
});

async function loggedInWithKey() {
  let key = { processId: 0, secret: Buffer.alloc(0) };
  const socket = await loggedIn(gateway.pgPooledPort, acme, ({ type, payload }) => {
    if (type !== "K") return;
    key = { processId: payload.readUInt32BE(0), secret: Buffer.from(payload.subarray(4)) };
  });
  return { socket, key };
}

/** The driver prepares once more what it believes to be prepared. */
function forgetPrepared(client: pg.Client): void {
  const { connection } = client as unknown as {
    readonly connection: { parsedStatements: Record<string, string> };
  };
  connection.parsedStatements = {};
}

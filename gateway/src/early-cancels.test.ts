/** Cancels that come before their statement was read: Postgres takes them for ones of nothing. */
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "./gateway.ts";
import { servingAcme } from "./pool/throwaway-pool.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "./throwaway-platform.ts";
import { cancelAt, connectTo, keyOf } from "./wire/fake-client.ts";

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 1 }));
});
afterAll(() => platform.remove());

async function backendOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query("select pg_backend_pid() as pid");
  return rows[0].pid;
}

test.for(["session", "pooled"])(
  "a statement is cancelled all the same, on the %s port",
  async (kind) => {
    const port = kind === "session" ? gateway.pgPort : gateway.pgPooledPort;
    const client = await connectTo(port, acme);
    const pid = await backendOf(client);
    process.kill(pid, "SIGSTOP");
    const answer = client.query("select pg_sleep(20)").then(
      () => "it slept",
      (error: pg.DatabaseError) => error.code,
    );
    await sleep(30);
    const cancelling = cancelAt(port, keyOf(client));
    // The server's postmaster has told the process by then, which reads the statement after that.
    await sleep(30);
    process.kill(pid, "SIGCONT");
    expect(await answer).toBe("57014");
    await cancelling;
    // What is asked next is another question.
    expect((await client.query("select pg_sleep(1), 1 as one")).rows).toMatchObject([{ one: 1 }]);
    await client.end();
  },
);

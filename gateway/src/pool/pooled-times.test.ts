/** Settings that end what takes too long are those of the client that has asked for them. */
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo } from "../wire/fake-client.ts";
import { servingAcme } from "./throwaway-pool.ts";

const TURNS = 300;

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  ({ platform, gateway, acme } = await servingAcme({ poolSize: 1 }));
});
afterAll(() => platform.remove());

/** Whoever asks for so little time, and loses its connection by it, comes again. */
async function hurry(options: string, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    let client: pg.Client | undefined;
    try {
      client = await connectTo(gateway.pgPooledPort, acme, { options });
      client.on("error", () => undefined);
      while (!over.aborted) await client.query("select 1");
    } catch {
      // It has asked for that.
    } finally {
      await client?.end().catch(() => undefined);
    }
  }
}

test.each(["idle_session_timeout", "transaction_timeout", "statement_timeout"])(
  "who asks for a short %s ends nobody else",
  async (name) => {
    const over = new AbortController();
    const hurrying = hurry(`-c ${name}=1`, over.signal);
    const client = await connectTo(gateway.pgPooledPort, acme);
    client.on("error", () => undefined);
    const told: unknown[] = [];
    for (let turn = 0; turn < TURNS && told.length === 0; turn += 1) {
      await client.query("select 1").catch((error) => told.push(error));
    }
    expect(told).toEqual([]);
    const { rows } = await client.query(`select current_setting('${name}') as limit`);
    expect(rows).toEqual([{ limit: "0" }]);
    over.abort();
    await hurrying;
    await client.end();
  },
);

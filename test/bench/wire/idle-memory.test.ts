/**
 * What a connection that rests takes of memory. BENCH_CONNECTIONS says how many are held. Behind
 * the session port each has a server of its own, so there are not more than an instance can bear.
 */
import { sleep } from "@aerodb/runtime";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { mib, report } from "../figures.ts";
import { memoryOf } from "../process-cost.ts";
import { peersMissing } from "./peers.ts";
import { type Target, WireStage } from "./wire-stage.ts";

const CONNECTIONS = Number(process.env["BENCH_CONNECTIONS"] ?? 2_000);
const SESSIONS = Math.min(CONNECTIONS, 2_000);
const AT_ONCE = 20;
const WARM_UP = 100;
/** What logging in has left is swept a while after that. */
const SETTLE_MS = 60_000;
const CONNECT_MS = 60_000;
const KIB = 1_024;

describe.skipIf(peersMissing())("connections at rest", () => {
  let stage: WireStage;
  beforeAll(async () => {
    stage = await WireStage.open({ connections: SESSIONS + WARM_UP });
  });
  afterEach(() => stage.stopGateway());
  afterAll(() => stage?.close());

  /** Connects, and asks one question each. */
  async function open(target: Target, count: number): Promise<pg.Client[]> {
    const { tenantId: user, password } = stage.tenant;
    const { host, port, database, tls = false } = target;
    const clients: pg.Client[] = [];
    const each = async () => {
      const client = new pg.Client({
        ...{ host, port, database, user, password },
        ssl: tls && { rejectUnauthorized: false },
        connectionTimeoutMillis: CONNECT_MS,
      });
      client.on("error", () => undefined);
      await client.connect();
      await client.query("select 1");
      clients.push(client);
    };
    while (clients.length < count) {
      await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - clients.length) }, each));
    }
    return clients;
  }

  async function close(clients: readonly pg.Client[]): Promise<void> {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  }

  async function measure(target: Target, count: number, reach: string) {
    const { pid = 0, name } = target;
    await close(await open(target, WARM_UP));
    await sleep(SETTLE_MS);
    const before = memoryOf(pid).rssBytes;
    const clients = await open(target, count);
    await sleep(SETTLE_MS);
    const held = memoryOf(pid).rssBytes - before;
    expect(clients).toHaveLength(count);
    await close(clients);
    const each = `${(held / KIB / count).toFixed(1)} KiB each`;
    const whole = `${count} on top of ${mib(before)}`;
    report(`Connections at rest: ${name}`, [{ what: whole, measured: each, reach }]);
  }

  test("plain", async () => {
    await measure(await stage.gateway(), SESSIONS, "<= 16 KiB");
  });

  test("over TLS", async () => {
    const target = await stage.gateway();
    await measure({ ...target, name: "gateway, TLS", tls: true }, SESSIONS, "<= 40 KiB");
  });

  test("on the pooled port, plain", async () => {
    const target = await stage.pooledGateway();
    await measure(target, CONNECTIONS, "<= 16 KiB");
  });

  test("on the pooled port, over TLS", async () => {
    const target = await stage.pooledGateway();
    await measure({ ...target, name: "gateway, pooled, TLS", tls: true }, CONNECTIONS, "<= 40 KiB");
  });

  test("in a bare relay of Node, over TLS", async () => {
    await measure(
      { ...(await stage.bareRelay()), name: "bare Node, TLS", tls: true },
      SESSIONS,
      "-",
    );
  });

  test("in PgBouncer", async () => {
    const { transaction } = await stage.pgBouncer();
    await measure(transaction, CONNECTIONS, "-");
  });
});

/** Clients of the pooled port that keep a server and say no more, where a Sync should follow. */
import type { Socket } from "node:net";
import { encodeMessage, MessageReader } from "@aerodb/postgres";
import { monotonicMs } from "@aerodb/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo, loggedIn, UNNAMED } from "../wire/fake-client.ts";
import { nextMessage } from "../wire/peer.ts";
import { servingAcme } from "./throwaway-pool.ts";

const LIMIT_MS = 600;
const FLUSH = encodeMessage("H");

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;

beforeAll(async () => {
  const limits = { poolIdleInTransactionMs: LIMIT_MS, poolSize: 1 };
  ({ platform, gateway, acme } = await servingAcme(limits));
});
afterAll(() => platform.remove());

/** All that is said to the end, errors with their codes. */
async function heardBy(stream: Socket): Promise<string> {
  const peer = { stream, reader: new MessageReader() };
  const signal = AbortSignal.timeout(10_000);
  let types = "";
  for (;;) {
    const message = await nextMessage(peer, signal);
    if (message === undefined) return types;
    const { type, payload } = message;
    types += type;
    if (type === "E") types += /C([0-9A-Z]{5})\0/.exec(payload.toString("latin1"))?.[1];
  }
}

test.each([
  ["a part of the rows", "select generate_series(1, 9)", 2, "12DDsE25P03", LIMIT_MS],
  ["what was done", "select 1", 0, "12DCE25P03", LIMIT_MS],
  ["an error", "select 1 / 0 from generate_series(1, 2)", 0, "1E22012E25P03", LIMIT_MS],
  ["what takes longer", "select pg_sleep(1.5)", 0, "12DCE25P03", LIMIT_MS + 1_500],
])(
  "who is silent where a Sync should follow %s is ended, and not before",
  async (_what, text, rows, heard, leastMs) => {
    const startedMs = monotonicMs();
    const silent = await loggedIn(gateway.pgPooledPort, acme);
    const asked = [UNNAMED.parse(text), UNNAMED.bind, UNNAMED.execute(rows), FLUSH];
    silent.write(Buffer.concat(asked));
    expect(await heardBy(silent)).toBe(heard);
    expect(monotonicMs() - startedMs).toBeGreaterThanOrEqual(leastMs);
    const next = await connectTo(gateway.pgPooledPort, acme);
    expect((await next.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    await next.end();
  },
);

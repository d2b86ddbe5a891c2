/** Clients of the pooled port that keep a server and say no more, or do not read. */
import type { Socket } from "node:net";
import { encodeMessage, MessageReader } from "@aerodb/postgres";
import { monotonicMs, sleep } from "@aerodb/runtime";
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

const query = (text: string) => encodeMessage("Q", Buffer.from(`${text}\0`));
const row = encodeMessage("d", Buffer.from("here\n"));
const copyDone = encodeMessage("c");
const TABLE = "create temp table here (text text)";

async function othersHaveTheirTurn(): Promise<void> {
  const next = await connectTo(gateway.pgPooledPort, acme);
  expect((await next.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await next.end();
}

test.each([
  ["", [query(`${TABLE}; copy here from stdin`)], "CGE25P03"],
  [" and a row", [query(`${TABLE}; copy here from stdin`), row], "CGE25P03"],
  [
    " of the extended protocol",
    [query(`begin; ${TABLE}`), UNNAMED.parse("copy here from stdin"), UNNAMED.bind],
    "CCZ12GE25P03",
  ],
])("who begins a COPY%s and says no more is ended", async (_what, asked, heard) => {
  const silent = await loggedIn(gateway.pgPooledPort, acme);
  const extended = asked.length > 2 ? [UNNAMED.execute(0), encodeMessage("S")] : [];
  silent.write(Buffer.concat([...asked, ...extended]));
  expect(await heardBy(silent)).toBe(heard);
  await othersHaveTheirTurn();
});

test("who says more of a COPY, or waits for what comes of it, is not ended", async () => {
  const busy = await loggedIn(gateway.pgPooledPort, acme);
  busy.write(query(`${TABLE}; copy here from stdin; select pg_sleep(1.5)`));
  for (let rows = 0; rows < 6; rows += 1) {
    busy.write(row);
    await sleep(LIMIT_MS / 3);
  }
  busy.write(copyDone);
  await sleep(1_800);
  busy.end();
  expect(await heardBy(busy)).toBe("CGCTDCZ");
});

test.each([
  ["", Buffer.alloc(0)],
  [" and has said goodbye", encodeMessage("X")],
])("who does not read what it has asked for%s gives its server back", async (_what, more) => {
  const deaf = await loggedIn(gateway.pgPooledPort, acme);
  deaf.pause();
  const text = "select repeat('x', 1000) from generate_series(1, 100000)";
  deaf.write(Buffer.concat([query(text), more]));
  await sleep(LIMIT_MS / 3);
  await othersHaveTheirTurn();
  deaf.destroy();
});

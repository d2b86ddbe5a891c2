/** What a gateway tells of its tenants, over a real server that comes and goes. */
import { RouteState, type WatchedSpan } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { sleep } from "@aerodb/runtime";
import { decodeTime } from "@aerodb/wire";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";

let platform: ThrowawayPlatform;
let tenants: ThrowawayTenant[];
let generation = 1n;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  tenants = [
    await platform.instance.addTenant("acme"),
    await platform.instance.addTenant("globex"),
  ];
});

afterAll(() => platform.remove());
afterEach(() => platform.stopGateway());

async function start(options: { readonly remote?: boolean; readonly state?: RouteState } = {}) {
  generation += 1n;
  platform.control.whole = platform.tableOf(tenants, { generation, ...options });
  await platform.startGateway({ watchSeconds: 1, wakeDeadlineMs: 300 });
  await platform.followed(generation);
}

function spans(): WatchedSpan[] {
  return platform.control.requests.flatMap(({ watched }) => watched);
}

/** What is told of the next span that begins from now on. */
async function nextSpan(): Promise<Readonly<Record<string, readonly string[]>>> {
  const from = Date.now();
  const look = async () =>
    spans().find(({ startedAt }) => startedAt && decodeTime(startedAt).getTime() >= from);
  const found = await platform.control.changes.until("request", look, AbortSignal.timeout(30_000));
  return Object.fromEntries(found.unreached.map(({ cause, tenantIds }) => [cause, tenantIds]));
}

function ids(): string[] {
  return tenants.map(({ tenantId }) => tenantId);
}

test.each([false, true])(
  "who answers is not told of, who does not is (remote: %s)",
  async (remote) => {
    await start({ remote });
    platform.edge.wakes = 0;
    expect(await nextSpan()).toEqual({});
    await platform.instance.postmaster.stop("immediate");
    expect(await nextSpan()).toEqual({ no_answer: ids() });
    expect(platform.edge.wakes, "probes wake nobody").toBe(0);
    await platform.instance.restart();
    expect(await nextSpan()).toEqual({});
  },
);

test("a server that takes connections and says nothing is not reached, in a short span too", async () => {
  await start();
  const { pid } = platform.instance.postmaster;
  process.kill(pid, "SIGSTOP");
  try {
    expect(await nextSpan()).toEqual({ no_answer: ids() });
  } finally {
    process.kill(pid, "SIGCONT");
  }
  expect(await nextSpan()).toEqual({});
});

test("a wrong password and a limit are no outage, and a server that stays away is", async () => {
  await start();
  const port = platform.gateway?.pgPort ?? 0;
  const [acme] = tenants as [ThrowawayTenant];
  const login = { host: "127.0.0.1", port, user: acme.tenantId, database: "acme" };
  const wrong = new pg.Client({ ...login, password: "wrong" });
  wrong.on("error", () => undefined);
  await expect(wrong.connect()).rejects.toMatchObject({ code: "28P01" });
  expect(await nextSpan()).toEqual({});
  await platform.instance.postmaster.stop("immediate");
  const client = new pg.Client({ ...login, password: acme.password });
  client.on("error", () => undefined);
  await expect(client.connect()).rejects.toMatchObject({ code: "57P03" });
  expect(await nextSpan()).toEqual({ no_answer: ids() });
  await platform.instance.restart();
});

/** Has the gateway follow another table, and tells of the next span. */
async function nextSpanAs(as: {
  readonly parked?: boolean;
  readonly state?: RouteState;
}): Promise<Readonly<Record<string, readonly string[]>>> {
  generation += 1n;
  platform.control.send(platform.tableOf(tenants, { generation, ...as }));
  await platform.followed(generation);
  return nextSpan();
}

test("what is parked is restarted on purpose, and who is suspended is in no outage", async () => {
  await start();
  await platform.instance.postmaster.stop("immediate");
  expect(await nextSpanAs({ parked: true })).toEqual({ restart: ids() });
  expect(await nextSpanAs({ state: RouteState.SUSPENDED })).toEqual({});
  expect(await nextSpanAs({ state: RouteState.QUARANTINED })).toEqual({ quarantine: ids() });
  await platform.instance.restart();
});

test("spans follow each other, over a lost link too, and stop with the gateway", async () => {
  await start();
  await nextSpan();
  platform.control.dropCalls();
  await nextSpan();
  const told = new Map(spans().map((span) => [span.sequence, span] as const));
  const times = [...told.values()].map(({ startedAt, endedAt }) =>
    [startedAt, endedAt].map((at) => (at === undefined ? 0 : decodeTime(at).getTime())),
  );
  const starts = times.map(([from = 0]) => from);
  for (const [from = 0, to = 0] of times) expect(to - from).toBe(1_000);
  expect(new Set(starts).size, "no span is told under two numbers").toBe(starts.length);
  expect([...told.values()].at(-1)?.certificateEndsAt).toBeDefined();

  await platform.stopGateway();
  const count = spans().length;
  await sleep(1_500);
  expect(spans()).toHaveLength(count);
});

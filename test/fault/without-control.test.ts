/** Control is gone and stays gone: something else has its port, so that it cannot come back. */
import { createServer, type Server } from "node:net";
import { now, sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { connectionError, queryOnce, type Tenant } from "../platform-client.ts";
import { lives, signal } from "../processes.ts";
import { until } from "../until.ts";
import { openCatalogue } from "./catalogue.ts";

/** Longer than an agent takes to start on a busy machine, and to look at its host again. */
const LOOK_MS = 15_000;
/** Spans are told in whole seconds. */
const ROUNDED_MS = 1_500;

const platform = usePlatform();
const squatters: Server[] = [];
let shared: Tenant;
let dedicated: Tenant;
let away: Date;
/** When the agent that measures while control is away had begun. */
let restarted: Date;

/** Takes a port that was control's, as soon as the kernel gives it. */
async function takePort(port: number): Promise<void> {
  await until(`port ${port} to be taken from control`, async () => {
    const server = createServer((socket) => socket.destroy());
    const taken = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen({ port, host: "127.0.0.1" }, () => resolve(true));
    });
    if (taken) squatters.push(server);
    return taken;
  });
}

/** New connections, not ones that were open. */
async function expectBothAnswer(): Promise<void> {
  for (const { connection, name } of [shared, dedicated]) {
    const rows = await queryOnce(connection.uri, "select count(*)::int as n from kept");
    expect(rows, name).toEqual([{ n: 1 }]);
  }
}

interface Told {
  /** Of all that the agent numbered, counted from the first. */
  readonly sequences: readonly number[];
  /** Of those that are about the host itself: when the span ended, and how long it was. */
  readonly spans: readonly { readonly at: Date; readonly seconds: number }[];
}

/** What control was told of what was measured. */
async function told(): Promise<Told> {
  const catalogue = await openCatalogue(platform());
  const numbers = await catalogue.query<{ sequence: number }>(
    "select (sequence - min(sequence) over ())::int as sequence from samples order by 1",
  );
  const spans = await catalogue.query<{ at: Date; seconds: number }>(
    "select at, seconds from samples where subject = host_id order by at",
  );
  await catalogue.end();
  return { sequences: numbers.rows.map(({ sequence }) => sequence), spans: spans.rows };
}

beforeAll(async () => {
  shared = await platform().createTenant({ name: "shared-one" });
  dedicated = await platform().createTenant({ name: "dedicated-one", plan: "pro" });
  for (const { connection } of [shared, dedicated]) {
    await queryOnce(connection.uri, "create table kept as select 1 as n");
  }
  // `up` sleeps while control's ports change hands, so that it cannot be faster.
  signal(platform().upPid, "SIGSTOP");
  const killed = platform().kill("control");
  await until("control to be dead", () => !killed.some(lives));
  away = now();
  await takePort(platform().grpcPort);
  await takePort(platform().linkPort);
  signal(platform().upPid, "SIGCONT");
  await until("readyz to miss control", async () => {
    return (await platform().request("GET", "/readyz")).body.degraded === true;
  });
});

afterAll(() => {
  for (const server of squatters) server.close();
});

describe("with control gone and kept away", () => {
  test("tenants answer new connections, and the API says that it is unavailable", async () => {
    await expectBothAnswer();
    const refused = await platform().request("POST", "/v1/tenants", { name: "abc", plan: "free" });
    expect({ status: refused.status, code: refused.body.code }).toEqual({
      status: 503,
      code: "UNAVAILABLE",
    });
  });

  test("the gateway is ready, and says that it serves by its last table", async () => {
    const { status, body } = await platform().request("GET", "/readyz");
    expect({ status, ...body }).toMatchObject({ status: 200, ready: true, degraded: true });
    expect(String(body.reasons)).toContain("it serves by the table that it has");
  });

  test("a gateway that is killed comes back and still knows every tenant", async () => {
    const [before = 0] = platform().kill("gateway");
    await until("the gateway to serve again", async () => {
      const [now = before] = platform().pids("gateway");
      if (now === before || lives(before)) return false;
      return (await queryOnce(shared.connection.uri, "select 1")).length === 1;
    });
    await expectBothAnswer();
    const wrong = shared.connection.uri.replace(/:[^:@]+@/, ":wrong@");
    expect((await connectionError(wrong)).code).toBe("28P01");
  });

  test("an agent that is killed comes back with its instances, none of them restarted", async () => {
    const before = platform().pieces().instances;
    const killed = platform().kill("agents");
    await expectBothAnswer();
    await until("another agent to run", () => {
      const now = platform().pids("agents");
      return now.length === 1 && !killed.includes(now[0] ?? 0);
    });
    await expectBothAnswer();
    expect(platform().pieces().instances).toEqual(before);
    restarted = now();
  });

  test("an instance that is killed is started again by its agent", async () => {
    const [id = ""] = [...platform().pieces().instances.keys()];
    const killed = platform().kill("instances", id);
    await until(`another postmaster of ${id}`, () => {
      const now = platform().pieces().instances.get(id);
      return now !== undefined && !killed.includes(now);
    });
    await until("both tenants to answer", async () => {
      await expectBothAnswer();
      return true;
    });
  });

  test("all is well once control may come back, and what was measured is there once", async () => {
    await sleep(Math.max(0, LOOK_MS - (now().getTime() - restarted.getTime())));
    for (const server of squatters.splice(0)) server.close();
    await platform().settled();
    await expectBothAnswer();
    const back = now();
    await until("a look that is newer", async () =>
      (await told()).spans.some(({ at }) => at > back),
    );
    const { sequences, spans } = await told();
    const meanwhile = spans.filter(({ at }) => at > away && at < back);
    expect(meanwhile.length).toBeGreaterThan(0);
    expect(sequences, "numbers without a gap").toEqual(sequences.map((_, at) => at));
    for (const [at, span] of spans.entries()) {
      const began = span.at.getTime() - span.seconds * 1_000;
      const before = spans[at - 1]?.at.getTime() ?? 0;
      expect(began - before, "no time is measured twice").toBeGreaterThan(-ROUNDED_MS);
    }
    await platform().createTenant({ name: "as-before" });
    await platform().stop();
  });
});

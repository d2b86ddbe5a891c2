/**
 * How soon a query is answered by an instance that is down: by the driver against the same data
 * started by hand, and through the gateway, which has the agent start it.
 */
import { join } from "node:path";
import { startPostmaster } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { connect } from "../platform-client.ts";
import { lives, signal } from "../processes.ts";
import { until } from "../until.ts";
import { BenchHost, type BenchInstance } from "./bench-host.ts";
import { distribution, ratio, report, timed } from "./figures.ts";

const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 30);
const TENANTS = Number(process.env["BENCH_TENANTS"] ?? 15);
const PAUSE_MS = 150;

describe("by the driver", () => {
  let host: BenchHost;
  let instance: BenchInstance;

  beforeAll(async () => {
    host = await BenchHost.open();
    instance = await host.launch();
    await host.driver.stop(instance.spec.id, "fast");
  });
  afterAll(() => host.close());

  /** The same data and the same user, without walls. Returns how to end it. */
  async function byHand(): Promise<() => Promise<void>> {
    const { data, directory } = host.place(instance.spec);
    const { engine } = await host.shelf.ready(18);
    const owner = await host.ownerOf(instance.spec);
    const server = await startPostmaster({
      engine,
      dataDirectory: data,
      socketDirectory: join(host.home, "run", "by-hand"),
      lockFile: join(directory, "lock"),
      logFile: join(directory, "log", "postgres.log"),
      ...(owner === undefined ? {} : { owner }),
    });
    await host.ask({ socketDirectory: join(host.home, "run", "by-hand") });
    return () => server.stop("fast");
  }

  test("a stopped instance", { timeout: 300_000 }, async () => {
    const [driven, hands]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      await sleep(PAUSE_MS);
      driven.push(await timed(async () => host.ask(await host.start(instance.spec))));
      await host.driver.stop(instance.spec.id, "fast");
      await sleep(PAUSE_MS);
      let end = async (): Promise<void> => undefined;
      hands.push(
        await timed(async () => {
          end = await byHand();
        }),
      );
      await end();
    }
    report("A stopped instance until its first answer, by the driver", [
      { what: "started by the driver", measured: distribution(driven), reach: "-" },
      { what: "started by hand", measured: distribution(hands), reach: "-" },
      { what: "ratio of the two, p50", measured: ratio(driven, hands), reach: "<= 1.5" },
    ]);
    expect(hands).toHaveLength(ROUNDS);
  });
});

describe("through the gateway", () => {
  const platform = usePlatform();

  /** Tenants with a server each. */
  async function launch(): Promise<readonly { readonly uri: string; readonly pid: number }[]> {
    const launched: { readonly uri: string; readonly pid: number }[] = [];
    const known = new Set<number>();
    for (let made = 0; made < TENANTS; made += 1) {
      const tenant = await platform().createTenant({ name: `wake-${made}`, plan: "pro" });
      const pids = [...platform().pieces().instances.values()];
      const [pid, ...more] = pids.filter((each) => !known.has(each));
      if (pid === undefined || more.length > 0) throw new Error("not one new server");
      known.add(pid);
      launched.push({ uri: tenant.connection.uri, pid });
    }
    return launched;
  }

  async function ask(uri: string): Promise<void> {
    const client = await connect(uri);
    await client.query("select 1");
    await client.end();
  }

  test("a stopped instance", { timeout: 300_000 }, async () => {
    const launched = await launch();
    const [woken, running]: [number[], number[]] = [[], []];
    for (const { uri } of launched) running.push(await timed(() => ask(uri)));
    // Each is ended once: one that ends again and again is started with growing pauses.
    for (const { uri, pid } of launched) {
      signal(pid, "SIGINT");
      await until("the server to be down", () => !lives(pid));
      woken.push(await timed(() => ask(uri)));
      await sleep(PAUSE_MS);
    }
    report("A stopped instance until its first answer, through the gateway", [
      { what: "down when the client connects", measured: distribution(woken), reach: "-" },
      { what: "running when the client connects", measured: distribution(running), reach: "-" },
    ]);
    expect(woken).toHaveLength(TENANTS);
  });
});

/** What the policies of a schema tenant's tables cost its own queries. */
import {
  ensureTenant,
  ensureWalls,
  generatePassword,
  quoteIdentifier,
  scramVerifier,
} from "@aerodb/postgres";
import { newId } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BenchHost, type BenchInstance } from "./bench-host.ts";
import { rates, ratio, report } from "./figures.ts";
import { type Asker, applyLoad, pgbenchMissing, prepareLoad } from "./pgbench.ts";

const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 6);
const SECONDS = 5;
/** A hundred thousand rows each. */
const SCALE = 10;
const TABLES = ["accounts", "branches", "history", "tellers"].map((name) => `pgbench_${name}`);

/** As they are in shared instances; without any; and as they are where the operator forces them. */
const STATES = {
  with: ["enable row level security", "no force row level security"],
  without: ["disable row level security"],
  forced: ["enable row level security", "force row level security"],
} as const;

const LOADS = [
  { what: "like TPC-B", words: [], script: [] },
  {
    what: "a scan of a million rows",
    words: ["--file", "-"],
    script: ["select count(*) from pgbench_accounts where abalance >= 0 or aid > 0;"],
  },
];

describe.skipIf(pgbenchMissing())("policies", () => {
  let host: BenchHost;
  let instance: BenchInstance;
  let root: pg.Client;
  let asker: Asker;

  beforeAll(async () => {
    host = await BenchHost.open();
    instance = await host.launch({ cpuMillis: 2_000, memoryMiB: 1_024, maxConnections: 20 });
    root = await host.connect(instance.running);
    await ensureWalls(root, { shared: true, forced: false });
    const tenantId = newId("ten");
    const password = generatePassword();
    const verifier = await scramVerifier(password);
    await ensureTenant(root, { tenantId, verifier, connectionLimit: 10, dedicated: false });
    asker = { user: tenantId, password, schema: tenantId };
    await prepareLoad(host, instance, SCALE, asker);
    // What keeps policies where they are is in the way of measuring without them.
    const { rows } = await root.query<{ readonly evtname: string }>(
      "select evtname from pg_catalog.pg_event_trigger",
    );
    for (const { evtname } of rows) {
      await root.query(`alter event trigger ${quoteIdentifier(evtname)} disable`);
    }
  });
  afterAll(async () => {
    await root?.end();
    await host?.close();
  });

  async function arrange(state: keyof typeof STATES): Promise<void> {
    for (const table of TABLES) {
      const name = `${quoteIdentifier(asker.schema)}.${table}`;
      for (const action of STATES[state]) await root.query(`alter table ${name} ${action}`);
    }
  }

  test.for(LOADS)("$what", { timeout: 600_000 }, async ({ what, words, script }) => {
    const found: Record<keyof typeof STATES, number[]> = { with: [], without: [], forced: [] };
    const load = { seconds: SECONDS, clients: 2, words, script, asker };
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const state of ["with", "without", "forced"] as const) {
        await arrange(state);
        found[state].push(await applyLoad(host, instance, load));
      }
    }
    const { with: present, without, forced } = found;
    report(`Policies, ${what}`, [
      { what: "with policies", measured: rates(present), reach: "-" },
      { what: "without", measured: rates(without), reach: "-" },
      { what: "ratio", measured: ratio(present, without), reach: ">= 0.97" },
      { what: "ratio where they are forced", measured: ratio(forced, without), reach: "-" },
    ]);
    expect(present).toHaveLength(ROUNDS);
  });

  async function guard(how: "enable" | "disable"): Promise<void> {
    for (const table of TABLES) {
      const name = `${quoteIdentifier(asker.schema)}.${table}`;
      await root.query(`alter table ${name} ${how} trigger user`);
    }
  }

  test("the trigger that refuses writes over quota, while they are accepted", async () => {
    const load = { seconds: SECONDS, clients: 2, words: ["-N"], script: [], asker };
    const found = { enable: [] as number[], disable: [] as number[] };
    await arrange("with");
    for (let round = 0; round < ROUNDS; round += 1) {
      const order = ["enable", "disable"] as const;
      for (const how of round % 2 === 0 ? order : order.toReversed()) {
        await guard(how);
        found[how].push(await applyLoad(host, instance, load));
      }
    }
    report("The trigger on each table, pgbench -N", [
      { what: "with triggers", measured: rates(found.enable), reach: "-" },
      { what: "without", measured: rates(found.disable), reach: "-" },
      { what: "ratio", measured: ratio(found.enable, found.disable), reach: ">= 0.97" },
    ]);
    expect(found.enable).toHaveLength(ROUNDS);
  }, 600_000);
});

/** libpq's own programs: psql and pgbench. */
import { describe, expect, test } from "vitest";
import { usePlatform } from "../../platform.ts";
import { queryOnce } from "../../platform-client.ts";
import { signal } from "../../processes.ts";
import { isInstalled, run } from "../../program.ts";
import { until } from "../../until.ts";
import { CLIENT_PORTS, useTenant } from "./client-ports.ts";

const platform = usePlatform();
const PSQL = ["-XAtq", "-v", "ON_ERROR_STOP=1"];
const SQL_STATE = ["-v", "VERBOSITY=sqlstate"];
const MEGABYTE = 1_000_000;

describe.runIf(isInstalled("psql")).each(CLIENT_PORTS)("psql by the $name port", (port) => {
  const tenant = useTenant(platform, "psql", port);
  const psql = (input: string, words: readonly string[] = []) =>
    run("psql", [...PSQL, ...words, tenant().uri], { input });

  test("connects with every sslmode, and verifies only what it can", async () => {
    const modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    const asked = "select 'in'";
    for (const PGSSLMODE of modes) {
      const environment = { PGSSLMODE, PGSSLROOTCERT: tenant().caFile };
      const ended = await run("psql", [...PSQL, "-c", asked, tenant().namedUri], { environment });
      expect(ended, PGSSLMODE).toMatchObject({ code: 0, stdout: "in\n" });
    }
    const elsewhere = { PGSSLMODE: "verify-full", PGSSLROOTCERT: "/nowhere/ca.crt" };
    const words = [...PSQL, "-c", "select 1", tenant().namedUri];
    const refused = await run("psql", words, { environment: elsewhere });
    expect(refused).toMatchObject({ code: 2, stdout: "" });
  });

  test("binds the login to the certificate where it is asked to", async () => {
    const environment = { PGSSLMODE: "require", PGCHANNELBINDING: "require" };
    const words = [...PSQL, "-c", "select 'bound'", tenant().namedUri];
    expect(await run("psql", words, { environment })).toMatchObject({ code: 0, stdout: "bound\n" });
    const clear = { ...environment, PGSSLMODE: "disable" };
    expect(await run("psql", words, { environment: clear })).toMatchObject({ code: 2 });
  });

  test("prints SQLSTATEs and notices, and goes on after errors", async () => {
    const script = `\\set ON_ERROR_STOP 0
      select 1 / 0;
      selekt 1;
      ;
      do $$ begin raise notice 'heard'; raise exception using errcode = 'P0042'; end $$;
      select 'on';`;
    const { stdout, stderr } = await psql(script, SQL_STATE);
    expect(stdout).toBe("on\n");
    const states = [...stderr.matchAll(/ERROR: {2}(\w{5})/g)].map(([, state]) => state);
    expect(states).toEqual(["22012", "42601", "P0042"]);
    expect(stderr).toContain("NOTICE");
  });

  test("copies wrong rows, and then right ones, in one session", async () => {
    const script = `\\set ON_ERROR_STOP 0
create table copied (n int);
copy copied from stdin;
1
wrong
\\.
copy copied from stdin;
2
\\.
copy nothing to stdout;
copy (select n / 0 from copied) to stdout;
copy copied to stdout;
`;
    const { stdout, stderr } = await psql(script, SQL_STATE);
    expect(stdout).toBe("2\n");
    const states = [...stderr.matchAll(/ERROR: {2}(\w{5})/g)].map(([, state]) => state);
    expect(states).toEqual(["22P02", "42P01", "22012"]);
  });

  test("sends a query of 5 MB and takes 50 MB", async () => {
    const long = await psql(`select length('${"x".repeat(5 * MEGABYTE)}');\n`);
    expect(long).toMatchObject({ code: 0, stdout: `${5 * MEGABYTE}\n` });
    const rows = "select repeat('y', 999) from generate_series(1, 50000);\n";
    expect((await psql(rows)).stdout).toHaveLength(50 * MEGABYTE);
  });

  test("fetches in portions, and describes what it would get", async () => {
    const portions = "\\set FETCH_COUNT 7\nselect n from generate_series(1, 50) n;\n";
    expect((await psql(portions)).stdout.trimEnd().split("\n")).toHaveLength(50);
    expect((await psql("select 1 as one, 'x'::text as two \\gdesc\n")).stdout).toBe(
      "one|integer\ntwo|text\n",
    );
  });

  test("cancels in the middle of much output, and goes on", async () => {
    let pid = 0;
    const script = `select 'before';
      select count(*) from generate_series(1, 100000000000) psql_cancels;
      select 'after';\n`;
    const running = run("psql", ["-XAtq", tenant().uri], {
      input: script,
      onStart: (started) => {
        pid = started;
      },
    });
    const active = `select 1 from pg_stat_activity
      where query like '%psql_cancels%' and state = 'active' and pid <> pg_backend_pid()`;
    await until("it to run", async () => (await queryOnce(tenant().uri, active)).length > 0);
    signal(pid, "SIGINT");
    const ended = await running;
    expect(ended.stderr).toContain("canceling statement due to user request");
    expect(await queryOnce(tenant().uri, active)).toEqual([]);
  });

  test("is refused replication of either kind, in a sentence", async () => {
    for (const kind of ["database", "true"]) {
      const uri = `${tenant().uri}?replication=${kind}`;
      const ended = await run("psql", [...PSQL, "-c", "IDENTIFY_SYSTEM", uri]);
      expect(ended.code).toBe(2);
      expect(ended.stderr).toContain('"replication" cannot be set through this gateway');
    }
    const slot = `select pg_create_logical_replication_slot('stolen', 'pgoutput')`;
    expect((await psql(slot, SQL_STATE)).stderr).toMatch(/ERROR: {2}(42501|55000)/);
  });
});

describe.runIf(isInstalled("pgbench")).each(CLIENT_PORTS)("pgbench by the $name port", (port) => {
  const tenant = useTenant(platform, "pgbench", port);
  const pgbench = (words: readonly string[], input = "") =>
    run("pgbench", ["-n", ...words, tenant().uri], { input });

  test("runs with each protocol, and none of its transactions fails", async () => {
    const made = await run("pgbench", ["-i", "-q", tenant().uri]);
    expect(made.code, made.stderr).toBe(0);
    for (const protocol of ["simple", "extended", "prepared"]) {
      const done = await pgbench(["-c", "4", "-j", "2", "-t", "50", "-M", protocol]);
      expect(done.code, done.stderr).toBe(0);
      expect(done.stdout).toContain("number of transactions actually processed: 200/200");
      expect(done.stdout).toContain("number of failed transactions: 0");
    }
    const sums = `select (select sum(abalance) from pgbench_accounts) =
      (select sum(delta) from pgbench_history) as same, count(*)::int as n from pgbench_history`;
    expect(await queryOnce(tenant().uri, sums)).toEqual([{ same: true, n: 600 }]);
  });

  test("connects anew for each transaction", async () => {
    const done = await pgbench(["-S", "-C", "-c", "4", "-t", "10"]);
    expect(done.stdout).toContain("actually processed: 40/40");
  });

  test("sends a pipeline of 60 statements, again and again", async () => {
    const piped = Array.from({ length: 60 }, (_, at) => `select ${at}, repeat('x', 2000);`);
    const script = ["\\startpipeline", ...piped, "\\endpipeline"].join("\n");
    for (const protocol of ["extended", "prepared"]) {
      const done = await pgbench(["-c", "2", "-t", "20", "-M", protocol, "-f", "-"], script);
      expect(done.code, done.stderr).toBe(0);
      expect(done.stdout).toContain("actually processed: 40/40");
    }
  });

  test("is told of the error in a pipeline", async () => {
    const script = "\\startpipeline\nselect 1;\nselect 1 / 0;\nselect 2;\n\\endpipeline\n";
    const done = await pgbench(["-t", "1", "-M", "extended", "-f", "-"], script);
    expect(done.stderr).toContain("division by zero");
    expect(done.code).toBe(2);
  });
});

import { Socket } from "node:net";
import pg from "pg";
import postgres from "postgres";
import { beforeAll, describe, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { connectionError, queryOnce, type Tenant } from "../platform-client.ts";
import { signal } from "../processes.ts";
import { isInstalled, run } from "../program.ts";
import { until } from "../until.ts";

const platform = usePlatform();
const psqlIsInstalled = isInstalled("psql");
const pgbenchIsInstalled = isInstalled("pgbench");

/** psql without the user's own settings, tuples only, stopping at the first error. */
function psql(uri: string, script: string) {
  const words = ["-XAtq", "-v", "ON_ERROR_STOP=1", uri];
  return run("psql", words, { input: script });
}

describe.each(["schema", "database"])("a %s tenant through the gateway", (isolation) => {
  let tenant: Tenant;
  let uri: string;
  beforeAll(async () => {
    tenant = await platform().createTenant({ name: `sql-${isolation}`, plan: "pro", isolation });
    uri = tenant.connection.uri;
  });

  test("has tables, indexes, views, functions, triggers and transactions", async () => {
    const client = await platform().connect(uri);
    await client.query(`
      create table orders (id bigint generated always as identity primary key, cents int not null);
      create index orders_cents on orders (cents);
      create view large_orders as select * from orders where cents > 500;
      create materialized view totals as select sum(cents) from orders;
      create function double(n int) returns int language sql as 'select n * 2';
      create function stamp() returns trigger language plpgsql as
        'begin new.cents := new.cents + 1; return new; end';
      create trigger stamped before insert on orders for each row execute function stamp();
      create type mood as enum ('calm', 'busy');
      create sequence numbers;
    `);
    await client.query("insert into orders (cents) select n from generate_series(1, 1000) n");
    const { rows } = await client.query("select count(*)::int as n from large_orders");
    expect(rows).toEqual([{ n: 501 }]);
    expect((await client.query("select double(21) as d")).rows).toEqual([{ d: 42 }]);

    await client.query("begin");
    await client.query("delete from orders");
    await client.query("savepoint here");
    await expect(client.query("select 1 / 0")).rejects.toMatchObject({ code: "22012" });
    await client.query("rollback to here");
    await client.query("rollback");
    const left = await client.query("select count(*)::int as n from orders");
    expect(left.rows).toEqual([{ n: 1000 }]);
  });

  test("is found by whatever names it, where all of it agrees", async () => {
    const { name } = tenant;
    const named = (change: (url: URL) => void): string => {
      const url = new URL(uri);
      url.pathname = "/postgres";
      change(url);
      return url.href;
    };
    const byOption = named((url) => url.searchParams.set("options", `endpoint=${name}`));
    const byUser = named((url) => {
      url.username += `.${name.toUpperCase()}`;
    });
    for (const each of [byOption, byUser]) {
      expect(await queryOnce(each, "select 1 as one")).toEqual([{ one: 1 }]);
    }
    const torn = named((url) => {
      url.username += ".somebody-else";
      url.searchParams.set("options", `endpoint=${name}`);
    });
    expect((await connectionError(torn)).code).toBe("28P01");
  });

  test("has temporary tables, prepared statements and cursors", async () => {
    const client = await platform().connect(uri);
    await client.query("create temporary table scratch as select generate_series(1, 100) as n");
    const prepared = { name: "above", text: "select count(*)::int as n from scratch where n > $1" };
    expect((await client.query(prepared, [90])).rows).toEqual([{ n: 10 }]);
    expect((await client.query(prepared, [50])).rows).toEqual([{ n: 50 }]);
    await client.query("begin; declare c cursor for select n from scratch order by n");
    expect((await client.query("fetch 2 from c")).rows).toEqual([{ n: 1 }, { n: 2 }]);
    await client.query("commit");
  });

  test("hears NOTIFY from another session", async () => {
    const listener = await platform().connect(uri);
    const heard: string[] = [];
    listener.on("notification", ({ payload }) => heard.push(payload ?? ""));
    await listener.query("listen news");
    await queryOnce(uri, "notify news, 'hello'");
    await until("the notification", () => heard.includes("hello"));
  });

  test("delivers 100 MB of rows, each as it was sent", async () => {
    const client = await platform().connect(uri);
    const text =
      "select n, repeat(chr(65 + n % 26), 100000) as filler from generate_series(1, 1000) n";
    const { rows } = await client.query(text);
    expect(rows).toHaveLength(1000);
    const wrong = rows.filter(({ n, filler }) => {
      return filler.length !== 100_000 || filler.charCodeAt(99_999) !== 65 + (n % 26);
    });
    expect(wrong).toEqual([]);
  });

  test("works with postgres.js, its transactions and its pool", async () => {
    const sql = postgres(uri, { max: 4, onnotice: () => undefined });
    try {
      await sql`create table counted (n int)`;
      await sql.begin(async (inner) => {
        await inner`insert into counted select generate_series(1, ${10}::int)`;
      });
      const sums = await Promise.all(
        Array.from(
          { length: 8 },
          (_, at) => sql`select sum(n)::int + ${at}::int as s from counted`,
        ),
      );
      expect(sums.map(([row]) => row?.["s"])).toEqual([55, 56, 57, 58, 59, 60, 61, 62]);
    } finally {
      await sql.end();
    }
  });

  test("cancels a query that pg asks to cancel, and goes on", async () => {
    const client = (await platform().connect(uri)) as pg.Client & { processID: number };
    const sleeping = client.query("select pg_sleep(60)").catch((error) => error);
    const active = `select 1 from pg_stat_activity where query like '%pg_sleep%'
      and state = 'active' and pid <> pg_backend_pid()`;
    await until("the query to run", async () => (await queryOnce(uri, active)).length === 1);
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    const canceller = new pg.Client({ connectionString: uri });
    const connection = (canceller as unknown as { connection: pg.Connection })
      .connection as pg.Connection & { cancel(pid: number, key: number): void };
    connection.on("connect", () => connection.cancel(processID, secretKey));
    (connection as unknown as { connect(port: number, host: string): void }).connect(
      tenant.connection.port,
      tenant.connection.host,
    );
    expect(await sleeping).toMatchObject({ code: "57014" });
    expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  });

  describe.runIf(psqlIsInstalled)("psql", () => {
    test("copies in and out", async () => {
      const copied = await psql(
        uri,
        "create table copied (id int, word text);\n" +
          "copy copied from stdin with (delimiter ',');\n1,one\n2,two\n\\.\n" +
          "copy (select * from copied order by id) to stdout with (format csv);\n",
      );
      expect(copied).toMatchObject({ code: 0, stdout: "1,one\n2,two\n" });
    });

    test("copies much in and much out", async () => {
      const rows = Array.from({ length: 200_000 }, (_, n) => `${n}\t${"x".repeat(50)}`);
      const into = `create table bulk (n int, filler text);\ncopy bulk from stdin;\n`;
      const done = await psql(uri, `${into}${rows.join("\n")}\n\\.\ncopy bulk to stdout;\n`);
      expect(done.code, done.stderr).toBe(0);
      expect(done.stdout.trimEnd().split("\n")).toHaveLength(200_000);
    });

    test("ends a query at Ctrl-C and keeps the session", async () => {
      const script = "select 'before';\nselect pg_sleep(60);\nselect 'after';\n";
      const active = `select 1 from pg_stat_activity
        where query like 'select pg_sleep(60)%' and state = 'active'`;
      let pid = 0;
      const running = run("psql", ["-XAtq", uri], {
        input: script,
        onStart: (started) => {
          pid = started;
        },
      });
      await until("psql to sleep", async () => (await queryOnce(uri, active)).length === 1);
      signal(pid, "SIGINT");
      const ended = await running;
      expect(ended.stderr).toContain("canceling statement due to user request");
      expect(ended.stdout).toContain("before");
      expect(await queryOnce(uri, active)).toEqual([]);
    });

    test("describes what is there, and reads its own table by its schema's name", async () => {
      const done = await psql(uri, "create table described (id int);\n\\d described\n\\dt\n");
      expect(done.code, done.stderr).toBe(0);
      expect(done.stdout).toContain("described");
      const schema = tenant.connection.user;
      const named = await psql(uri, `select count(*) from ${schema}.described`);
      expect(named.stdout).toBe("0\n");
    });
  });

  test.runIf(pgbenchIsInstalled)("pgbench initialises and runs its transactions", async () => {
    const made = await run("pgbench", ["-i", "-q", "-s", "1", uri]);
    expect(made.code, made.stderr).toBe(0);
    const done = await run("pgbench", ["-n", "-c", "4", "-j", "2", "-t", "50", uri]);
    expect(done.code, done.stderr).toBe(0);
    expect(done.stdout).toContain("number of transactions actually processed: 200/200");
    expect(done.stdout).toMatch(/number of failed transactions: 0/);
  });
});

/**
 * All that the server sent before it refused, packet by packet: the type and the length of each.
 */
async function refusalOnTheWire(uri: string) {
  const received: Buffer[] = [];
  const stream = new Socket();
  stream.on("data", (bytes: Buffer) => received.push(bytes));
  const client = new pg.Client({ connectionString: uri, stream: () => stream });
  client.on("error", () => undefined);
  const error = await client.connect().catch((thrown) => thrown);
  const bytes = Buffer.concat(received);
  const packets: string[] = [];
  let at = 0;
  while (at + 5 <= bytes.length) {
    const length = bytes.readUInt32BE(at + 1);
    packets.push(`${String.fromCharCode(bytes[at] ?? 0)}${length}`);
    at += 1 + length;
  }
  const last = bytes.subarray(bytes.lastIndexOf("E"));
  return { packets, last: last.toString("latin1"), error: { ...error, message: error.message } };
}

describe("who may not come in", () => {
  test("cannot tell an unknown tenant from a wrong password or a wrong user", async () => {
    const { connection } = await platform().createTenant({ name: "well-kept" });
    const { host, port, user, password } = connection;
    const uri = (as: string, secret: string, database: string) =>
      `postgres://${as}:${secret}@${host}:${port}/${database}`;
    const wrongPassword = await refusalOnTheWire(uri(user, "wrong", "well-kept"));
    const unknownTenant = await refusalOnTheWire(uri(user, password, "not-there"));
    const wrongUser = await refusalOnTheWire(
      uri("ten_01jc7w4x9dep8t3w8rj0sxv5n2", password, "well-kept"),
    );
    expect(wrongPassword.error).toMatchObject({ severity: "FATAL", code: "28P01" });
    expect(wrongPassword.packets.length).toBeGreaterThanOrEqual(3);
    expect(unknownTenant).toEqual(wrongPassword);
    expect({ ...wrongUser, error: { ...wrongUser.error, message: "" } }.packets).toEqual(
      wrongPassword.packets,
    );
  });

  test("cannot come in as the platform's own superuser, nor as another tenant", async () => {
    const one = await platform().createTenant({ name: "neighbour-one" });
    const two = await platform().createTenant({ name: "neighbour-two" });
    const { host, port } = one.connection;
    const asRoot = `postgres://aerodb_root:x@${host}:${port}/neighbour-one`;
    expect((await connectionError(asRoot)).code).toBe("28P01");
    const { user, password } = two.connection;
    const asOther = `postgres://${user}:${password}@${host}:${port}/neighbour-one`;
    expect((await connectionError(asOther)).code).toBe("28P01");
    for (const database of ["aerodb", "postgres", "template1"]) {
      const elsewhere = `postgres://${user}:${password}@${host}:${port}/${database}`;
      expect((await connectionError(elsewhere)).code).toBe("28P01");
    }
  });
});

describe("a tenant on its way", () => {
  test("that is being created lets nobody in who guesses, and then who was told", async () => {
    const [agent = 0] = platform().pids("agents");
    signal(agent, "SIGSTOP");
    const creating = platform().createTenant({ name: "being-born", plan: "pro" });
    creating.catch(() => undefined);
    try {
      const { host, port, user } = await until("the tenant to be in the catalogue", async () => {
        const { status, body } = await platform().request("GET", "/v1/tenants/being-born");
        return status === 200 ? body.connection : undefined;
      });
      const guess = `postgres://${user}:x@${host}:${port}/being-born`;
      expect(await connectionError(guess)).toMatchObject({ severity: "FATAL", code: "28P01" });
    } finally {
      signal(agent, "SIGCONT");
    }
    const { connection } = await creating;
    expect(await queryOnce(connection.uri, "select 1 as one")).toEqual([{ one: 1 }]);
    expect(await queryOnce(connection.pooled_uri, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test("that is being deleted refuses with a SQLSTATE and a sentence, then is unknown", async () => {
    const { connection } = await platform().createTenant({ name: "being-ended" });
    const [agent = 0] = platform().pids("agents");
    signal(agent, "SIGSTOP");
    const deleting = platform().request("DELETE", "/v1/tenants/being-ended");
    try {
      const error = await until("the sentence of a tenant being deleted", async () => {
        const refused = await connectionError(connection.uri).catch(() => undefined);
        return refused !== undefined && /delet/.test(refused.message) ? refused : undefined;
      });
      expect(error.severity).toBe("FATAL");
      expect(error.code).toMatch(/^[0-9A-Z]{5}$/);
    } finally {
      signal(agent, "SIGCONT");
    }
    expect((await deleting).status).toBe(200);
    expect((await connectionError(connection.uri)).code).toBe("28P01");
  });
});

test("after all of this the doctor finds nothing", async () => {
  await platform().settled();
});

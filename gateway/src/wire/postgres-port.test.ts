import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { encodeCancelRequest, encodeSslRequest, encodeStartupMessage } from "@aerodb/postgres";
import { RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import pg from "pg";
import postgres from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectRaw, connectTo, everything, settingsOf } from "./fake-client.ts";

const run = promisify(execFile);
const psql = existsSync("/usr/bin/psql") ? "psql" : undefined;
const pgbench = existsSync("/usr/bin/pgbench") ? "pgbench" : undefined;

let platform: ThrowawayPlatform;
let gateway: Gateway;
let acme: ThrowawayTenant;
let globex: ThrowawayTenant;

beforeAll(async () => {
  platform = await ThrowawayPlatform.start();
  acme = await platform.instance.addTenant("acme");
  globex = await platform.instance.addTenant("globex");
  platform.control.whole = platform.tableOf([acme, globex], { generation: 5n });
  gateway = await platform.startGateway();
  await platform.followed(5n);
});

afterAll(() => platform.remove());

const login = (tenant: ThrowawayTenant, over: pg.ClientConfig = {}) =>
  connectTo(gateway.pgPort, tenant, over);

function uri(tenant: ThrowawayTenant): string {
  const { tenantId, password, name } = tenant;
  return `postgres://${tenantId}:${password}@127.0.0.1:${gateway.pgPort}/${name}`;
}

async function refusal(settings: pg.ClientConfig): Promise<pg.DatabaseError> {
  const client = new pg.Client(settings);
  client.on("error", () => undefined);
  return client.connect().then(
    () => expect.fail("the login was to be refused"),
    (error: pg.DatabaseError) => error,
  );
}

test("a tenant works in its own schema: tables, transactions and prepared statements", async () => {
  const client = await login(acme);
  const { rows } = await client.query("select current_user, current_schema()");
  expect(rows).toEqual([{ current_user: acme.tenantId, current_schema: acme.tenantId }]);
  await client.query("create table t (n int primary key)");
  await client.query("begin");
  await client.query({ name: "insert", text: "insert into t values ($1)", values: [1] });
  await client.query("rollback");
  expect((await client.query("select n from t")).rows).toEqual([]);
  await client.query("drop table t");
  await client.end();
});

test("TLS verifies against the development authority by name and by address", async () => {
  const ca = await readFile(gateway.caFile, "utf8");
  for (const host of ["127.0.0.1", "localhost"]) {
    const client = await login(acme, { host, ssl: { ca } });
    expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    await client.end();
  }
});

test("the host name TLS is asked for decides the tenant", async () => {
  // Node, unlike libpq, does not take a wildcard right under a top-level domain.
  const ssl = { rejectUnauthorized: false, servername: "acme.localhost" };
  const client = await login(acme, { ssl, database: "postgres" });
  expect((await client.query("select current_database()")).rows).toHaveLength(1);
  await client.end();
  const refused = await refusal(settingsOf(gateway.pgPort, acme, { ssl, database: "globex" }));
  expect(refused.code).toBe("28P01");
});

test("direct TLS works for who asks for the protocol by ALPN, and for nobody else", async () => {
  const { pgPort: port } = gateway;
  const open = (ALPNProtocols: string[]) =>
    connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols });
  const parameters = Object.entries({ user: acme.tenantId, database: "acme" });
  const good = open(["postgresql"]);
  good.write(encodeStartupMessage({ minor: 0, parameters }));
  const [first] = (await everythingUpTo(good, 9)).toString("latin1");
  expect(first).toBe("R");
  good.destroy();
  const bad = open([]);
  bad.write(encodeStartupMessage({ minor: 0, parameters }));
  expect((await everything(bad)).toString()).toContain("ALPN");
});

test("COPY goes both ways and large results arrive whole", async () => {
  const sql = postgres(uri(acme), { max: 1, onnotice: () => undefined });
  await sql`create table big (n int, filler text)`;
  const rows = 20_000;
  const copyIn = await sql`copy big from stdin`.writable();
  for (let n = 0; n < rows; n += 1) {
    if (!copyIn.write(`${n}\t${"x".repeat(200)}\n`)) {
      await new Promise<void>((resolve) => copyIn.once("drain", () => resolve()));
    }
  }
  await new Promise<void>((resolve, reject) => {
    copyIn.on("error", reject).on("finish", () => resolve());
    copyIn.end();
  });
  let bytes = 0;
  for await (const chunk of await sql`copy big to stdout`.readable()) bytes += chunk.length;
  expect(bytes).toBeGreaterThan(rows * 200);
  const [sum] = await sql`select count(*)::int as count, sum(n)::int as sum from big`;
  expect(sum).toEqual({ count: rows, sum: (rows * (rows - 1)) / 2 });
  const all = await sql`select b.filler from big b, generate_series(1, 5)`;
  expect(all).toHaveLength(5 * rows);
  await sql`drop table big`;
  await sql.end();
});

test("a client that does not read slows the server instead of filling the gateway", async () => {
  const client = await login(acme);
  const { connection } = client as unknown as { connection: { stream: Socket } };
  const result = client.query("select repeat('x', 1000000) from generate_series(1, 100)");
  connection.stream.pause();
  const watcher = await login(acme);
  const waits = "select wait_event from pg_stat_activity where query like 'select repeat%'";
  await expect
    .poll(async () => (await watcher.query(waits)).rows)
    .toContainEqual({ wait_event: "ClientWrite" });
  connection.stream.resume();
  expect((await result).rows).toHaveLength(100);
  await Promise.all([client.end(), watcher.end()]);
});

test("LISTEN and NOTIFY pass through", async () => {
  const listener = await login(acme);
  const heard = new Promise((resolve) => listener.once("notification", resolve));
  await listener.query("listen news");
  const speaker = await login(acme);
  await speaker.query("notify news, 'hello'");
  expect(await heard).toMatchObject({ channel: "news", payload: "hello" });
  await Promise.all([listener.end(), speaker.end()]);
});

test("a query is cancelled by the key the gateway gave, in the clear and over TLS", async () => {
  for (const ssl of [false, { rejectUnauthorized: false }]) {
    const client = await login(acme, { ssl });
    const running = client.query("select pg_sleep(30)");
    running.catch(() => undefined);
    await untilItSleeps();
    const { processID, secretKey } = client as unknown as Record<string, number>;
    const secret = Buffer.alloc(4);
    secret.writeInt32BE(secretKey ?? 0);
    const stream = connectRaw(gateway.pgPort);
    const canceller = ssl === false ? stream : await securedBy(stream);
    canceller.write(encodeCancelRequest({ processId: processID ?? 0, secret }));
    await expect(running).rejects.toMatchObject({ code: "57014" });
    expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    await client.end();
  }
});

test("encryption by GSS is declined, and TLS may be asked for after that", async () => {
  const socket = connectRaw(gateway.pgPort);
  socket.write(Buffer.from("0000000804d21630", "hex"));
  expect((await everythingUpTo(socket, 1)).toString()).toBe("N");
  const secure = await securedBy(socket);
  const parameters = Object.entries({ user: acme.tenantId, database: "acme" });
  secure.write(encodeStartupMessage({ minor: 0, parameters }));
  expect((await everythingUpTo(secure, 9)).toString("latin1", 0, 1)).toBe("R");
  secure.destroy();
});

test("a cancel request with an unknown key is ignored without a word", async () => {
  const socket = connectRaw(gateway.pgPort);
  const packet = Buffer.from("00000010" + "04d2162e" + "00000001" + "00000002", "hex");
  socket.write(packet);
  expect((await everything(socket)).length).toBe(0);
});

test.each([
  ["role", "aerodb_root"],
  ["app.tenant_id", "x"],
  ["replication", "true"],
])("the startup parameter %s is refused with a sentence", async (name, value) => {
  const { tenantId: user } = acme;
  const socket = connectRaw(gateway.pgPort);
  const parameters = Object.entries({ user, database: "acme", [name]: value });
  socket.write(encodeStartupMessage({ minor: 0, parameters }));
  const said = (await everything(socket)).toString();
  expect(said).toContain("SFATAL");
  expect(said).toContain(`the startup parameter "${name}" cannot be set`);
});

test("options of the session take effect", async () => {
  const client = await login(acme, {
    options: "-c statement_timeout=1234",
    application_name: "me",
  });
  const { rows } = await client.query(
    `select current_setting('statement_timeout') as timeout,
       current_setting('application_name') as name`,
  );
  expect(rows).toEqual([{ timeout: "1234ms", name: "me" }]);
  await client.end();
});

test("a tenant that comes or goes says so, to who knows its role only", async () => {
  const [comes, goes] = [RouteState.CREATING, RouteState.DELETING].map((state, at) => {
    const tenant = { ...acme, tenantId: `ten_${at}` as typeof acme.tenantId, name: `later-${at}` };
    platform.control.send({
      generation: BigInt(6 + at),
      routes: platform.tableOf([tenant], { generation: 0n, state }).routes ?? [],
    });
    return tenant;
  });
  if (comes === undefined || goes === undefined) return expect.fail();
  await platform.followed(7n);
  expect(await refusal(settingsOf(gateway.pgPort, comes))).toMatchObject({
    code: "57P03",
    message: "the tenant is being created: try again in a moment",
  });
  expect(await refusal(settingsOf(gateway.pgPort, goes))).toMatchObject({
    code: "3D000",
    message: "the tenant is being deleted",
  });
  expect(await refusal(settingsOf(gateway.pgPort, comes, { user: "guess" }))).toMatchObject({
    code: "28P01",
  });
});

test.each([
  ["bytes before TLS that nobody encrypted", Buffer.concat([encodeSslRequest(), Buffer.from("x")])],
  ["a length of nothing", Buffer.alloc(8)],
  ["a length without bounds", Buffer.from("7fffffff00030000", "hex")],
  ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ["protocol 2", Buffer.from("0000000800020000", "hex")],
  ["TLS asked for twice over", Buffer.concat([encodeSslRequest(), encodeSslRequest()])],
])("%s ends in a FATAL answer and nothing else", async (_what, bytes) => {
  const socket = connectRaw(gateway.pgPort);
  socket.write(bytes);
  const said = await everything(socket);
  expect(said.toString("latin1", 0, 1)).toBe("E");
  expect(said.toString()).toContain("SFATAL");
});

test("what is no answer to a login ends the connection", async () => {
  const parameters = Object.entries({ user: acme.tenantId, database: "acme" });
  for (const bytes of ["51000000057100", "707fffffff", "58000000", "7000000005ff"]) {
    const socket = connectRaw(gateway.pgPort);
    socket.write(encodeStartupMessage({ minor: 0, parameters }));
    await everythingUpTo(socket, 24);
    socket.end(Buffer.from(bytes, "hex"));
    expect((await everything(socket)).toString()).toMatch(/^(E.*SFATAL.*28P01.*)?$/s);
  }
});

test("clients that leave in the middle, at any byte, do the gateway no harm", async () => {
  const parameters = Object.entries({ user: acme.tenantId, database: "acme" });
  const startup = encodeStartupMessage({ minor: 0, parameters });
  for (const length of [1, 4, 8, startup.length - 1, startup.length]) {
    const socket = connectRaw(gateway.pgPort);
    socket.write(startup.subarray(0, length), () => socket.resetAndDestroy());
  }
  const halfTls = connectRaw(gateway.pgPort);
  halfTls.write(encodeSslRequest());
  await new Promise((resolve) => halfTls.once("data", resolve));
  halfTls.end(Buffer.from("16030100ff", "hex"));
  const client = await login(acme);
  await client.end();
});

test.skipIf(psql === undefined)("psql works, with TLS required", async () => {
  const environment = { ...process.env, PGSSLMODE: "require" };
  const args = ["-XAtc", "select 'one'", "-c", String.raw`\conninfo`, uri(acme)];
  const { stdout } = await run("psql", args, { env: environment });
  expect(stdout).toContain("one\n");
  expect(stdout).toContain("SSL connection");
});

test.skipIf(psql === undefined)("psql copies in and out", async () => {
  const commands = [
    "create table copied (n int)",
    String.raw`\copy copied from program 'seq 1000'`,
    "select sum(n) from copied",
    "drop table copied",
  ];
  const args = commands.flatMap((command) => ["-c", command]);
  const { stdout } = await run("psql", ["-XAt", ...args, uri(acme)]);
  expect(stdout).toContain("500500\n");
});

test.skipIf(pgbench === undefined)("pgbench works", async () => {
  const run1 = (...args: string[]) => run("pgbench", [...args, uri(acme)]);
  await run1("-i", "-q", "-s", "1");
  const { stdout } = await run1("-n", "-c", "4", "-t", "50", "-M", "prepared");
  expect(stdout).toContain("number of failed transactions: 0");
  const client = await login(acme);
  await client.query(
    "drop table pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers",
  );
  await client.end();
});

/** A cancel that comes before its query cancels nothing. */
async function untilItSleeps(): Promise<void> {
  const watcher = await login(acme);
  const sleeping = "select wait_event from pg_stat_activity where wait_event = 'PgSleep'";
  await expect.poll(async () => (await watcher.query(sleeping)).rows).toHaveLength(1);
  await watcher.end();
}

async function securedBy(socket: Socket): Promise<Socket> {
  socket.write(encodeSslRequest());
  await once(socket, "data");
  return connectTls({ socket, rejectUnauthorized: false });
}

/** The first bytes that come, at least so many. */
async function everythingUpTo(socket: Socket, length: number): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  while (bytes.length < length) {
    const [chunk] = await once(socket, "data");
    bytes = Buffer.concat([bytes, chunk as Buffer]);
  }
  return bytes;
}

/**
 * Two tenants on a few sessions that serve both, all of them busy, while backends are killed and
 * statements cancelled and timed out: neither ever gets anything of the other's. `SOAK_SECONDS=600`
 * soaks for as long as a release should.
 */
import { Fault } from "@aerodb/model";
import { monotonicMs, sleep } from "@aerodb/runtime";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectPool } from "./connection.ts";
import { POOL_ROLE } from "./names.ts";
import { poolPassword } from "./pool-login.ts";
import { pooledRequest } from "./pooled-request.ts";
import { ROOT_PASSWORD } from "./throwaway-instance.ts";
import { type ThrowawayTenant, type WalledServer, walledServer } from "./throwaway-tenant.ts";

const SECONDS = Number(process.env["SOAK_SECONDS"] ?? 10);
const SESSIONS = 4;
const CALLERS = 12;
const STATEMENT_MS = 150;
const HARM_EVERY_MS = 40;

/** Each reads something back in which a neighbour's marker would show. `$1` is a number. */
const REQUESTS: readonly string[] = [
  "select * from notes limit 20",
  "select * from everybodys where id >= $1::int limit 20",
  "insert into notes (text) values ('row of ' || aerodb.current_tenant()) returning id, text",
  "update notes set text = text where id = $1::int returning *",
  // What is left behind in a session, and what a later one finds of it.
  "select leave('set app.kept = ' || quote_literal('left by ' || aerodb.current_tenant()))",
  "select leave('create temp table left_here as select * from notes limit 5')",
  "select leave('declare c cursor with hold for select * from notes'), $1::int",
  "select leave('listen left_here')",
  "select leave('prepare kept as select ' || quote_literal(aerodb.current_tenant()))",
  "select current_setting('app.kept', true) as kept, current_setting('app.tenant_id') as tag",
  "select found('select text from left_here limit 1') as text",
  "select (select string_agg(name || statement, ' ') from pg_prepared_statements) as prepared," +
    " (select string_agg(statement, ' ') from pg_cursors) as cursors",
  // What ends badly by itself.
  "select pg_sleep(1), text from notes limit 1",
  "select 1 / ($1::int * 0), text from notes",
  "select text::int from notes where id > $1::int",
];

const FUNCTIONS = `
  create function leave(code text) returns text language plpgsql as
    $$ begin execute code; return 'left'; exception when others then return sqlerrm; end $$;
  create function found(code text) returns text language plpgsql as
    $$ declare found text; begin execute code into found; return found;
    exception when others then return null; end $$`;

let walled: WalledServer;
let tenants: readonly [ThrowawayTenant, ThrowawayTenant];

beforeAll(async () => {
  walled = await walledServer({ shared: true, forced: true });
  tenants = [await walled.newTenant(), await walled.newTenant()];
  for (const { tenantId, connect } of tenants) {
    const client = await connect();
    await client.query(`create table notes (id serial primary key, text text); ${FUNCTIONS}`);
    await client.query("insert into notes (text) select $1 from generate_series(1, 200)", [
      `row of ${tenantId}`,
    ]);
    await client.query("create view everybodys as select * from notes");
    await client.end();
  }
});
afterAll(() => walled.remove());

/** What anybody was told, rows and errors alike, in which a neighbour's id has no business. */
class Witness {
  readonly leaks: string[] = [];
  readonly counts = { served: 0, refused: 0, harmed: 0, written: new Map<string, Set<number>>() };

  hear(listener: ThrowawayTenant, said: unknown): void {
    const text = said instanceof Error ? `${JSON.stringify(said)} ${said.message}` : said;
    const heard = typeof text === "string" ? text : JSON.stringify(text);
    for (const { tenantId } of tenants) {
      if (tenantId !== listener.tenantId && heard.includes(tenantId)) this.leaks.push(heard);
    }
  }
}

function oneOf<Item>(items: readonly Item[]): Item {
  const item = items[Math.floor(Math.random() * items.length)];
  if (item === undefined) throw new Error("bug: none of nothing");
  return item;
}

/** Sessions that callers take turns at; one that was lost is replaced. */
class Sessions {
  readonly #free: Client[] = [];
  readonly #waiting: ((client: Client) => void)[] = [];

  async open(): Promise<void> {
    for (let count = 0; count < SESSIONS; count += 1) this.give(await this.#connect());
  }

  take(): Promise<Client> {
    const client = this.#free.pop();
    if (client !== undefined) return Promise.resolve(client);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  give(client: Client): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(client);
    else next(client);
  }

  /** One that serves no more is not given to anybody. */
  async giveBack(client: Client): Promise<void> {
    const alive = await client.query("select 1").then(
      () => true,
      () => false,
    );
    if (!alive) await client.end().catch(() => undefined);
    this.give(alive ? client : await this.#connect());
  }

  async close(): Promise<void> {
    for (const client of this.#free) await client.end().catch(() => undefined);
  }

  async #connect(): Promise<Client> {
    const { settings } = walled.server;
    const password = poolPassword(ROOT_PASSWORD);
    const client = await connectPool({ ...settings, password, statementTimeoutMs: STATEMENT_MS });
    client.on("error", () => undefined);
    return client;
  }
}

async function call(sessions: Sessions, witness: Witness, untilMs: number): Promise<void> {
  while (monotonicMs() < untilMs) {
    const client = await sessions.take();
    const tenant = oneOf(tenants);
    const text = oneOf(REQUESTS);
    const values = text.includes("$1") ? [`${Math.floor(Math.random() * 200)}`] : [];
    try {
      const rows = await pooledRequest(client, tenant.tenantId, { text, values });
      witness.hear(tenant, rows);
      witness.counts.served += 1;
      if (text.startsWith("insert")) note(witness, tenant, rows[0]?.["id"]);
    } catch (error) {
      witness.hear(tenant, error instanceof Fault ? [error.message, error.cause] : error);
      witness.counts.refused += 1;
    }
    await sessions.giveBack(client);
  }
}

function note({ counts: { written } }: Witness, { tenantId }: ThrowawayTenant, id: unknown): void {
  const ids = written.get(tenantId) ?? new Set();
  written.set(tenantId, ids.add(Number(id)));
}

/** Ends and cancels what serves requests, whatever it is at. */
async function harm(witness: Witness, untilMs: number): Promise<void> {
  while (monotonicMs() < untilMs) {
    await sleep(HARM_EVERY_MS);
    const how = oneOf(["pg_terminate_backend", "pg_cancel_backend", "pg_cancel_backend"]);
    const { rowCount } = await walled.root.query(
      `select pg_catalog.${how}(pid) from (select pid from pg_catalog.pg_stat_activity
         where usename = $1 order by pg_catalog.random() limit 1) harmed`,
      [POOL_ROLE],
    );
    witness.counts.harmed += rowCount ?? 0;
  }
}

test("nothing of a neighbour is ever seen, and no answer is lost", {
  timeout: (SECONDS + 60) * 1_000,
}, async () => {
  const witness = new Witness();
  const sessions = new Sessions();
  await sessions.open();
  const untilMs = monotonicMs() + SECONDS * 1_000;
  const callers = Array.from({ length: CALLERS }, () => call(sessions, witness, untilMs));
  await Promise.all([harm(witness, untilMs), ...callers]);
  await sessions.close();

  const { served, refused, harmed, written } = witness.counts;
  console.log(`${SECONDS} s: ${served} served, ${refused} refused, ${harmed} harmed`);
  expect(witness.leaks).toEqual([]);
  for (const count of [served, refused, harmed]) expect(count).toBeGreaterThan(10);
  for (const { tenantId, connect } of tenants) {
    const client = await connect();
    const { rows } = await client.query<{ readonly id: number }>("select id from notes");
    await client.end();
    const there = new Set(rows.map(({ id }) => id));
    expect([...(written.get(tenantId) ?? [])].filter((id) => !there.has(id))).toEqual([]);
  }
});

test("what was witnessed above would have been noticed", () => {
  const [one, other] = tenants;
  const witness = new Witness();
  witness.hear(one, [{ text: `row of ${one.tenantId}` }]);
  expect(witness.leaks).toEqual([]);
  witness.hear(one, [{ text: `row of ${other.tenantId}` }]);
  witness.hear(one, new Error(`relation "${other.tenantId}.notes" is somebody's`));
  expect(witness.leaks).toHaveLength(2);
});

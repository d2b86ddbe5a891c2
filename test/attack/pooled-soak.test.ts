/**
 * Two tenants of one shared instance at the pooled port, with many more clients than servers, while
 * clients vanish, statements time out or are cancelled, and servers, the gateway and the instance
 * are killed. Whatever anybody is answered carries a mark, and nobody may ever see that of another.
 * `SOAK_SECONDS=600 npx vitest run --project attack pooled-soak` is the long one.
 */
import { randomInt, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep, within } from "@aerodb/runtime";
import pg from "pg";
import { expect, test } from "vitest";
import { openInstanceOf } from "../inside-instances.ts";
import { usePlatform } from "../platform.ts";
import { connect, queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";

const SOAK_MS = Number(process.env["SOAK_SECONDS"] ?? 20) * 1_000;
/** The pool of a tenant of the plan "free" has ten servers. */
const CLIENTS_EACH = 40;
const LEAST_ANSWERS = 100;
/** Who waits for a server is told after 10 s. */
const STUCK_MS = 25_000;
/** https://www.postgresql.org/docs/current/errcodes-appendix.html: query_canceled */
const CANCELLED = "57014";
const EXPECTED = [
  CANCELLED,
  ...["57P01", "57P02", "57P03", "08006", "08003"], // Its server, or the gateway, ended.
  "53300", // All servers were taken for too long.
  ...["connection", "ECONNRESET", "ECONNREFUSED", "EPIPE"], // It vanished, or the gateway did.
];
const NOTES = `
create table notes (
  tenant_id text, id bigint generated always as identity, title text,
  primary key (tenant_id, id)
);`;

const platform = usePlatform();

/** A tenant at work, and all that was answered to it. */
interface Party {
  readonly tenant: Tenant;
  readonly mark: string;
  /** Rows that were committed, as it was told. */
  readonly kept: string[];
  /** How often it met each error, by its code. */
  readonly errors: Map<string, number>;
  answers: number;
}

type Act = (client: pg.Client, party: Party) => Promise<readonly object[]>;

const rowsOf = async (client: pg.Client, text: string): Promise<readonly object[]> => {
  const results = await client.query(text);
  const all: readonly pg.QueryResult[] = Array.isArray(results) ? results : [results];
  return all.flatMap(({ rows }) => rows);
};

/** Each answers with what it could see: the tenant's own mark, or nothing. */
const ACTS: readonly Act[] = [
  (client) => rowsOf(client, "select who, id from marked order by random() limit 3"),
  (client) => rowsOf(client, "select title, tenant_id from shared.notes order by id limit 3"),
  async (client, { mark }) => {
    // Everybody's statement has this name, and no two tenants' the same text.
    const { rows } = await client.query({ name: "mine", text: `select '${mark}' as who` });
    return rows;
  },
  (client, { mark }) => rowsOf(client, `insert into shared.notes (title) values ('${mark}')`),
  async (client, { mark, kept }) => {
    const id = randomUUID();
    const rows = await rowsOf(
      client,
      `begin; set local app.note = '${mark}';
       create temp table passing on commit drop as select '${mark}' as who;
       insert into marked select who, '${id}' from passing returning who;
       select current_setting('app.note') as note; commit`,
    );
    kept.push(id);
    return rows;
  },
  // What is left in a session is nobody's to find.
  (client, { mark }) => rowsOf(client, `set app.note = '${mark}'`),
  (client, { mark }) => rowsOf(client, `create temp table left_here as select '${mark}' as who`),
  (client, { mark }) => rowsOf(client, `prepare ${mark} as select '${mark}'; listen ${mark}`),
  (client) =>
    rowsOf(
      client,
      `select session_user::text as who, current_setting('app.note', true) as note,
              current_setting('app.tenant_id', true) as tenant,
              array(select pg_listening_channels()) as heard,
              array(select statement from pg_prepared_statements) as prepared,
              to_regclass('pg_temp.left_here')::text as left_here`,
    ),
  (client, { mark }) =>
    rowsOf(client, `begin; set local statement_timeout = 5; select '${mark}', pg_sleep(0.05)`),
  (client, { mark }) => cancelled(client, `select '${mark}' as who, pg_sleep(0.2)`),
  async (client, { mark }) => {
    const answer = rowsOf(client, `select '${mark}' as who, pg_sleep(0.02)`);
    setTimeout(() => vanish(client), randomInt(20));
    return answer;
  },
];

/** Ends its connection without a word. */
function vanish(client: pg.Client): void {
  client.connection.stream.destroy();
}

/** Asks for a statement and cancels it, before, while or after it runs. */
async function cancelled(client: pg.Client, text: string): Promise<readonly object[]> {
  const query = new pg.Query(text);
  const rows: object[] = [];
  query.on("row", (row: object) => rows.push(row));
  const ended = new Promise<void>((done, fail) => query.on("end", () => done()).on("error", fail));
  client.query(query);
  const { host, port } = client;
  const messenger = new pg.Client({ host, port }) as pg.Client & {
    cancel(target: pg.Client, query: object): void;
  };
  messenger.connection.on("error", () => undefined);
  setTimeout(() => messenger.cancel(client, query), randomInt(40));
  await ended;
  return rows;
}

/** One client that is another one whenever it was lost, until the time is over. */
async function work(party: Party, untilMs: number): Promise<void> {
  let client: pg.Client | undefined;
  while (Date.now() < untilMs) {
    try {
      client ??= await connect(party.tenant.connection.pooled_uri);
      const act = ACTS[randomInt(ACTS.length)] as Act;
      const rows = await inTime(act(client, party));
      party.answers += 1;
      see(party, JSON.stringify(rows));
    } catch (error) {
      if (note(party, error) !== CANCELLED || !(await rollsBack(client, party))) {
        client = void client?.end().catch(() => undefined);
        await sleep(randomInt(200));
      }
    }
  }
  await client?.end().catch(() => undefined);
}

async function rollsBack(client: pg.Client | undefined, party: Party): Promise<boolean> {
  try {
    if (client !== undefined) await inTime(client.query("rollback"));
    return true;
  } catch (error) {
    note(party, error);
    return false;
  }
}

function inTime<Value>(answer: Promise<Value>): Promise<Value> {
  return within({ ms: STUCK_MS, expecting: "an answer" }, answer);
}

/** Counts an error, and returns its code. */
function note(party: Party, error: unknown): string {
  const { code = "connection", message } = error as pg.DatabaseError;
  see(party, message);
  party.errors.set(code, (party.errors.get(code) ?? 0) + 1);
  return code;
}

/** All tenants' marks and ids that there are, but its own. */
const foreign = new Map<Party, readonly string[]>();
const leaks: string[] = [];

function see(party: Party, answer: string): void {
  const found = foreign.get(party)?.find((word) => answer.includes(word));
  if (found !== undefined) leaks.push(`${party.tenant.name} saw ${found}: ${answer}`);
}

/** Ends servers of both all the time, and of the rest each once. */
async function disturb(parties: readonly Party[], untilMs: number): Promise<void> {
  const tenants = parties.map(({ tenant }) => tenant);
  const names = tenants.map(({ tenant_id: id }) => id);
  const due: readonly (() => unknown)[] = [
    () => platform().kill("gateway"),
    () => platform().kill("instances"),
    () => platform().kill("agents"),
  ];
  const startedMs = Date.now();
  let done = 0;
  let inside = await openInstanceOf(platform(), tenants[0] as Tenant);
  while (Date.now() < untilMs) {
    await sleep(500);
    const part = (Date.now() - startedMs) / (untilMs - startedMs);
    const next = due[done];
    if (next !== undefined && part > (done + 1) / (due.length + 1)) {
      next();
      done += 1;
    }
    const ending = `select pg_terminate_backend(pid) from pg_stat_activity
                     where usename = any ($1) order by random() limit 2`;
    try {
      await inside.root.query(ending, [names]);
    } catch {
      inside = await openInstanceOf(platform(), tenants[0] as Tenant);
    }
  }
  expect(done).toBe(due.length);
}

async function newParty(name: string): Promise<Party> {
  const tenant = await platform().createTenant({ name, plan: "free" });
  const mark = `mark_${randomUUID().replaceAll("-", "")}`;
  const table = "create table marked (who text, id uuid primary key)";
  await queryOnce(tenant.connection.uri, table);
  return { tenant, mark, kept: [], errors: new Map(), answers: 0 };
}

async function declareNotes(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "aerodb-soak-"));
  const file = join(directory, "notes.sql");
  writeFileSync(file, NOTES);
  const { code, stderr } = await platform().cli(["shared-tables", "apply", file]);
  rmSync(directory, { recursive: true });
  expect(code, stderr).toBe(0);
}

test("nobody at the pooled port is ever answered with what is another's", soak, SOAK_MS + 120_000);

async function soak(): Promise<void> {
  const parties = [await newParty("one-co"), await newParty("other-co")];
  const [one, other] = parties as [Party, Party];
  foreign.set(one, [other.mark, other.tenant.tenant_id]);
  foreign.set(other, [one.mark, one.tenant.tenant_id]);
  await declareNotes();
  const untilMs = Date.now() + SOAK_MS;
  const clients = parties.flatMap((party) =>
    Array.from({ length: CLIENTS_EACH }, () => work(party, untilMs)),
  );
  await Promise.all([disturb(parties, untilMs), ...clients]);
  expect(leaks).toEqual([]);
  for (const { tenant, kept, answers, errors } of parties) {
    const met = [...errors].map(([code, times]) => `${code} ${times} times`).join(", ");
    process.stdout.write(`${tenant.name}: ${answers} answers; ${met}\n`);
    expect(EXPECTED).toEqual(expect.arrayContaining([...errors.keys()]));
    expect(answers).toBeGreaterThan(LEAST_ANSWERS);
    // What it was told is kept outlived the server.
    const found = await until("the tenant to be served", () =>
      queryOnce(tenant.connection.uri, "select id::text from marked"),
    );
    expect(found.map(({ id }) => id)).toEqual(expect.arrayContaining(kept));
  }
}

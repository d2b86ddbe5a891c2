/**
 * Defences outside of SQL, taken away in turn: what the platform's sessions pin, and the user and
 * the modes of directories. Each alone is what an attack fails at.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, statSync } from "node:fs";
import { join } from "node:path";
import { connectPlatform, DATABASE, ROOT_ROLE, SOCKET_PORT } from "@aerodb/postgres";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT_PASSWORD } from "../../packages/postgres/src/throwaway-instance.ts";
import {
  type ThrowawayTenant,
  type WalledServer,
  walledServer,
} from "../../packages/postgres/src/throwaway-tenant.ts";

const isRoot = process.getuid?.() === 0;
/** Somebody else than the servers of tests run as. */
const STRANGER = 70_002;
const ENTERABLE = 0o755;

let walled: WalledServer;
let tenant: ThrowawayTenant;
beforeAll(async () => {
  walled = await walledServer({ shared: true, forced: false });
  tenant = await walled.newTenant();
  const client = await tenant.connect();
  await client.query(
    `create function now() returns timestamptz language sql
       as $$ select '-infinity'::timestamptz $$`,
  );
  await client.end();
});
afterAll(() => walled.remove());

/** What a tenant would set that owned its database, and how a session sees that it is caught. */
const PINS = [
  ["search_path", "TENANT, pg_catalog", "now() <> pg_catalog.now()"],
  ["role", "TENANT", "current_user <> session_user"],
  ["statement_timeout", "'3h'", "current_setting('statement_timeout') = '3h'"],
  ["lock_timeout", "'3h'", "current_setting('lock_timeout') = '3h'"],
  ["default_transaction_read_only", "on", "current_setting('transaction_read_only') = 'on'"],
  [
    "default_transaction_isolation",
    "serializable",
    "current_setting('transaction_isolation') = 'serializable'",
  ],
  ["row_security", "on", "current_setting('row_security') = 'on'"],
  ["check_function_bodies", "on", "current_setting('check_function_bodies') = 'on'"],
  ["standard_conforming_strings", "off", "current_setting('standard_conforming_strings') = 'off'"],
  ["synchronous_commit", "off", "current_setting('synchronous_commit') = 'off'"],
  [
    "idle_in_transaction_session_timeout",
    "'1h'",
    "current_setting('idle_in_transaction_session_timeout') = '1h'",
  ],
] as const;

async function isCaught(client: pg.Client, question: string): Promise<boolean> {
  try {
    return (await client.query(`select ${question} as caught`)).rows[0].caught;
  } finally {
    await client.end();
  }
}

async function unpinned(): Promise<pg.Client> {
  const client = new pg.Client({
    host: walled.server.settings.socketDirectory,
    port: SOCKET_PORT,
    user: ROOT_ROLE,
    password: ROOT_PASSWORD,
    database: DATABASE,
  });
  await client.connect();
  return client;
}

test.each(PINS)("without its pin of %s the platform's session is caught", async (name, to, how) => {
  const { root, server } = walled;
  const database = `alter database ${DATABASE}`;
  await root.query(`${database} set ${name} = ${to.replace("TENANT", tenant.name)}`);
  try {
    const pinned = await connectPlatform({ ...server.settings, password: ROOT_PASSWORD });
    expect(await isCaught(pinned, how)).toBe(false);
    expect(await isCaught(await unpinned(), how)).toBe(true);
  } finally {
    await root.query(`${database} reset ${name}`);
  }
});

/** Whether a program of another user gets at a path. */
function reaches(uid: number, words: readonly [string, ...string[]]): boolean {
  const [program, ...rest] = words;
  try {
    execFileSync(program, rest, { uid, gid: uid, stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}

const PLACES = [
  ["data", (data: string) => data, "PG_VERSION"],
  ["socket", (_data: string, socket: string) => socket, ".s.PGSQL.5432"],
] as const;

test.skipIf(!isRoot).each(PLACES)(
  "the mode and the user of the %s directory keep others out",
  (_what, placeOf, file) => {
    const { dataDirectory, socketDirectory, owner } = walled.server.settings;
    const place = placeOf(dataDirectory, socketDirectory);
    const words = ["stat", join(place, file)] as const;
    const { mode } = statSync(place);
    expect(reaches(STRANGER, [...words])).toBe(false);
    expect(reaches(owner?.uid ?? 0, [...words])).toBe(true);
    chmodSync(place, ENTERABLE);
    try {
      expect(reaches(STRANGER, [...words])).toBe(true);
    } finally {
      chmodSync(place, mode);
    }
    expect(reaches(STRANGER, [...words])).toBe(false);
  },
);

test("policies that bind owners too keep a forged tag from the owner's rows", async () => {
  const forced = await walledServer({ shared: true, forced: true });
  try {
    const owner = await forced.newTenant();
    const client = await owner.connect();
    await client.query("create table t (i int); insert into t values (1)");
    await client.query("set app.tenant_id = 'ten_other'");
    expect((await client.query("select * from t")).rows).toEqual([]);
    await forced.root.query(`alter table ${owner.name}.t no force row level security`);
    expect((await client.query("select * from t")).rows).toEqual([{ i: 1 }]);
    await client.end();
  } finally {
    await forced.remove();
  }
});

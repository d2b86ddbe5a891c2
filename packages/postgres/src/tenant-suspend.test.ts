import { createConnection } from "node:net";
import type { TenantId } from "@aerodb/model";
import { sleep } from "@aerodb/runtime";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectPlatform, connectTenant } from "./connection.ts";
import { quoteIdentifier } from "./identifier.ts";
import { socketPath } from "./names.ts";
import { generatePassword, scramVerifier } from "./scram.ts";
import { encodeStartupMessage } from "./startup-packet.ts";
import { dropTenant } from "./tenant-drop.ts";
import { ensureTenant, isAsDesired, listTenants } from "./tenant-role.ts";
import { suspendTenant } from "./tenant-suspend.ts";
import { ROOT_PASSWORD, type ThrowawayServer, throwawayServer } from "./throwaway-instance.ts";

let server: ThrowawayServer;
let platform: Client;
let lastTenant = 0;

beforeAll(async () => {
  server = await throwawayServer({ maxConnections: 40 });
  platform = await connectPlatform({ ...server.settings, password: ROOT_PASSWORD });
});
afterAll(async () => {
  await platform.end();
  await server.remove();
});

async function newTenant() {
  lastTenant += 1;
  const tenantId = `ten_${lastTenant.toString().padStart(26, "0")}` as TenantId;
  const password = generatePassword();
  const verifier = await scramVerifier(password);
  const desired = { tenantId, verifier, connectionLimit: 10, dedicated: false };
  await ensureTenant(platform, desired);
  const connect = async () => {
    const client = await connectTenant({ ...server.settings, password, tenantId });
    client.on("error", () => undefined);
    return client;
  };
  return { tenantId, desired, connect, name: quoteIdentifier(tenantId) };
}

async function sessionsOf(tenantId: TenantId): Promise<number> {
  const text = "select count(*)::int as n from pg_stat_activity where usename = $1";
  const { rows } = await platform.query<{ n: number }>(text, [tenantId]);
  return rows[0]?.n ?? 0;
}

async function listed(tenantId: TenantId) {
  const found = (await listTenants(platform)).find((tenant) => tenant.tenantId === tenantId);
  if (found === undefined) throw new Error(`${tenantId} is not listed`);
  return found;
}

test("its sessions end whatever they do, it gets none, and its data and password stay", async () => {
  const { connect, desired, name, tenantId } = await newTenant();
  const [idle, busy, open] = [await connect(), await connect(), await connect()];
  await idle.query(`create table ${name}.t (i int); insert into ${name}.t values (7)`);
  const sleeping = busy.query("select pg_sleep(60)").catch((error: unknown) => error);
  await open.query(`begin; lock table ${name}.t`);
  expect((await listed(tenantId)).sessions).toBe(3);

  await suspendTenant(platform, desired);
  expect(await sessionsOf(tenantId)).toBe(0);
  expect(await sleeping).toMatchObject({ code: "57P01" });
  await expect(idle.query("select 1")).rejects.toThrow();
  await expect(connect()).rejects.toThrow("is not permitted to log in");
  const suspended = await listed(tenantId);
  expect(suspended).toMatchObject({ canLogin: false, sessions: 0, verifier: desired.verifier });
  expect(isAsDesired(suspended, { ...desired, suspended: true })).toBe(true);
  expect(isAsDesired(suspended, desired)).toBe(false);
  await suspendTenant(platform, desired);

  await ensureTenant(platform, desired);
  expect(isAsDesired(await listed(tenantId), { ...desired, suspended: true })).toBe(false);
  const again = await connect();
  expect((await again.query(`select i from ${name}.t`)).rows).toEqual([{ i: 7 }]);
  await again.end();
});

test("one whose role may not log in and that has a session is not as it should be", async () => {
  const { connect, desired, name, tenantId } = await newTenant();
  const client = await connect();
  await platform.query(`alter role ${name} nologin`);
  const seen = await listed(tenantId);
  expect(seen).toMatchObject({ canLogin: false, sessions: 1 });
  expect(isAsDesired(seen, { ...desired, suspended: true })).toBe(false);
  await suspendTenant(platform, desired);
  expect(await sessionsOf(tenantId)).toBe(0);
  await expect(client.query("select 1")).rejects.toThrow();
});

test("a session that changes its own role in a transaction it leaves open hinders nothing", async () => {
  const { connect, desired, name, tenantId } = await newTenant();
  for (const act of [suspendTenant, (client: Client) => dropTenant(client, tenantId)]) {
    const client = await connect();
    await client.query(`begin; alter role ${name} password '${desired.verifier}'`);
    await act(platform, desired);
    expect(await sessionsOf(tenantId)).toBe(0);
    if (act === suspendTenant) await ensureTenant(platform, desired);
  }
});

test("a storm of sessions that reconnect and change their role ends with none", async () => {
  const { connect, desired, name, tenantId } = await newTenant();
  let storming = true;
  const stormers = Array.from({ length: 6 }, async () => {
    while (storming) {
      try {
        const client = await connect();
        await client.query(`alter role ${name} password '${desired.verifier}'`);
        await client.query("begin; alter role current_user set work_mem = '1MB'");
      } catch {
        await sleep(1);
      }
    }
  });
  await sleep(300);
  await suspendTenant(platform, desired);
  for (let looks = 0; looks < 30; looks += 1) {
    expect(await sessionsOf(tenantId)).toBe(0);
    await sleep(10);
  }
  storming = false;
  await Promise.all(stormers);
  expect(await listed(tenantId)).toMatchObject({ canLogin: false, sessions: 0 });
});

test("a stranger who stays at the door holds up nobody's suspension", async () => {
  const { desired, tenantId } = await newTenant();
  const door = createConnection(socketPath(server.settings.socketDirectory));
  door.on("error", () => undefined);
  const parameters = [["user", tenantId] as const, ["database", "aerodb"] as const];
  door.write(encodeStartupMessage({ minor: 0, parameters }));
  await new Promise((resolve) => door.once("data", resolve));
  await suspendTenant(platform, desired, { deadlineMs: 2_000 });
  expect(await listed(tenantId)).toMatchObject({ canLogin: false, sessions: 0 });
  door.destroy();
});

test("one that is not there is made, and may not log in", async () => {
  const { connect, desired, tenantId } = await newTenant();
  await dropTenant(platform, tenantId);
  await suspendTenant(platform, desired);
  expect(isAsDesired(await listed(tenantId), { ...desired, suspended: true })).toBe(true);
  await expect(connect()).rejects.toThrow("is not permitted to log in");
});

test("of a suspended tenant that is dropped no secret and no large object is left", async () => {
  const { connect, desired, tenantId } = await newTenant();
  const client = await connect();
  await client.query("select lo_from_bytea(0, 'a secret of the tenant')");
  await suspendTenant(platform, desired);
  await dropTenant(platform, tenantId);
  const left = await platform.query(
    `select (select count(*)::int from pg_authid where rolpassword = $1) as verifiers,
       (select count(*)::int from pg_largeobject_metadata) as objects,
       (select count(*)::int from pg_largeobject) as pages`,
    [desired.verifier],
  );
  expect(left.rows).toEqual([{ verifiers: 0, objects: 0, pages: 0 }]);
});

/** Who gets in, by what, and what those learn who do not. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { parseScramVerifier, scramVerifier } from "@aerodb/postgres";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "../gateway.ts";
import { ThrowawayPlatform, type ThrowawayTenant } from "../throwaway-platform.ts";
import { connectTo, failedLogin, settingsOf } from "./fake-client.ts";

const run = promisify(execFile);
const psql = existsSync("/usr/bin/psql") ? "psql" : undefined;

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

test("unknown tenant, wrong role and wrong password look the same to the last byte", async () => {
  const { tenantId: user } = acme;
  const { pgPort } = gateway;
  const wrongPassword = await failedLogin(pgPort, { user, database: "acme" });
  const unknownTenant = await failedLogin(pgPort, { user, database: "nobody" });
  const otherTenant = await failedLogin(pgPort, { user, database: "globex" });
  expect(wrongPassword).toHaveLength(3);
  expect(wrongPassword.at(-1)).toContain(`password authentication failed for user "${user}"`);
  expect(unknownTenant).toEqual(wrongPassword);
  expect(otherTenant).toEqual(wrongPassword);
});

test.skipIf(psql === undefined)("a login can be bound to the certificate", async () => {
  const args = ["-XAtc", "select 'bound'", `${uri(acme)}?sslmode=require&channel_binding=require`];
  expect((await run("psql", args)).stdout).toBe("bound\n");
  const inTheClear = `${uri(acme)}?sslmode=disable&channel_binding=require`;
  await expect(run("psql", ["-c", "select 1", inTheClear])).rejects.toThrow(/channel binding/);
});

test("while a password is replaced, the server says which of the two is in force", async () => {
  const { verifier, ...tenant } = await platform.instance.addTenant("initech");
  const salt = parseScramVerifier(verifier)?.salt ?? expect.fail();
  const next = await scramVerifier("the-next-password", { salt });
  const [route] = platform.tableOf([{ ...tenant, verifier }], { generation: 0n }).routes ?? [];
  platform.control.send({ generation: 6n, routes: [{ ...route, verifiers: [next, verifier] }] });
  await platform.followed(6n);
  await (await login({ ...tenant, verifier })).end();
  const settings = settingsOf(
    gateway.pgPort,
    { ...tenant, verifier },
    { password: "the-next-password" },
  );
  expect(await refusal(settings)).toMatchObject({ code: "28P01" });
  platform.control.send({ generation: 7n, routes: [{ ...route, verifiers: [next] }] });
  await platform.followed(7n);
  expect(await refusal(settingsOf(gateway.pgPort, { ...tenant, verifier }))).toMatchObject({
    code: "28P01",
  });
});

test("no role but the route's ever reaches an instance", async () => {
  for (const user of ["aerodb_root", "aerodb_tenants", globex.tenantId, "postgres"]) {
    const refused = await refusal(settingsOf(gateway.pgPort, acme, { user }));
    expect(refused).toMatchObject({ severity: "FATAL", code: "28P01" });
  }
});

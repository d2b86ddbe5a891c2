/** A tenant that is refused service, and gets it back, as its clients see it. */
import { once } from "node:events";
import { sleep } from "@aerodb/runtime";
import type pg from "pg";
import { beforeAll, describe, expect, test } from "vitest";
import { openInstanceOf, roleOf, sessionsOf } from "../inside-instances.ts";
import { usePlatform } from "../platform.ts";
import { connectionError, queryOnce, type Tenant } from "../platform-client.ts";
import { lives, signal } from "../processes.ts";
import { isInstalled, run } from "../program.ts";
import { until } from "../until.ts";

const platform = usePlatform();

function sentenceOf({ name }: Tenant): string {
  return `the tenant ${name} is suspended: ask whoever runs this platform to reinstate it`;
}

async function suspend({ name }: Tenant, reason = "invoice 7 is unpaid") {
  return platform().request("POST", `/v1/tenants/${name}:suspend`, { reason });
}

async function reinstate({ name }: Tenant) {
  return platform().request("POST", `/v1/tenants/${name}:reinstate`, {});
}

async function expectRefused(tenant: Tenant): Promise<void> {
  const error = await connectionError(tenant.connection.uri);
  expect(error).toMatchObject({ code: "28000", message: sentenceOf(tenant) });
}

describe.each(["schema", "database"])("a %s tenant", (isolation) => {
  let tenant: Tenant;
  let open: pg.Client;
  beforeAll(async () => {
    const name = `in-${isolation}`;
    tenant = await platform().createTenant({ name, plan: "pro", isolation });
    open = await platform().connect(tenant.connection.uri);
    await open.query("create table kept as select 7 as n");
  });

  test("that is suspended loses its sessions, gets none, and says why", async () => {
    const { root } = await openInstanceOf(platform(), tenant);
    const busy = await platform().connect(tenant.connection.uri);
    const sleeping = busy.query("select pg_sleep(300)").catch((error: unknown) => error);
    const told = once(open, "error");
    const servers = platform().pieces().instances;
    const answer = await suspend(tenant);
    expect(answer).toMatchObject({ status: 200, body: { status: "suspended" } });
    expect(answer.body.status_reason).toBe("invoice 7 is unpaid");
    expect(await sessionsOf(root, tenant)).toBe(0);
    expect(await roleOf(root, tenant)).toEqual({ rolcanlogin: false });
    expect((await told)[0]).toMatchObject({ code: "57P01" });
    expect(await sleeping).toBeInstanceOf(Error);
    await expectRefused(tenant);
    expect(platform().pieces().instances).toEqual(servers);
    const { body } = await platform().request("GET", "/v1/tenants?status=suspended");
    expect(body.tenants.map((each: Tenant) => each.name)).toEqual([tenant.name]);
  });

  test.runIf(isInstalled("psql"))("is told so by psql", async () => {
    const ended = await run("psql", ["-XAtq", tenant.connection.uri, "-c", "select 1"]);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain(sentenceOf(tenant));
    expect(ended.stderr).not.toContain("unpaid");
  });

  test("is looked after by the agent: login and sessions that come back are ended", async () => {
    const { root } = await openInstanceOf(platform(), tenant);
    await root.query(`alter role "${tenant.tenant_id}" login`);
    platform().kill("agents");
    await until("the role to be barred again", async () => {
      return (await roleOf(root, tenant))?.rolcanlogin === false;
    });
    expect(await sessionsOf(root, tenant)).toBe(0);
    await expectRefused(tenant);
    await platform().settled();
  });

  test("that is reinstated works as before, with the password it had", async () => {
    expect(await reinstate(tenant)).toMatchObject({ status: 200, body: { status: "active" } });
    expect(await queryOnce(tenant.connection.uri, "select n from kept")).toEqual([{ n: 7 }]);
    const { body } = await platform().request("GET", `/v1/tenants/${tenant.name}`);
    expect(body).toMatchObject({ status: "active", status_reason: "", quarantined: false });
  });

  test("that is suspended can be deleted, and nothing is left of it", async () => {
    const { root } = await openInstanceOf(platform(), tenant);
    await suspend(tenant);
    const gone = await platform().request("DELETE", `/v1/tenants/${tenant.name}`);
    expect(gone).toMatchObject({ status: 200, body: { status: "deleted" } });
    if (isolation === "schema") expect(await roleOf(root, tenant)).toBeUndefined();
    await platform().settled();
  });
});

describe("with control gone and kept away", () => {
  let tenant: Tenant;
  beforeAll(async () => {
    tenant = await platform().createTenant({ name: "unpaid" });
    await suspend(tenant);
  });

  test("a gateway and an agent that start anew refuse still", async () => {
    const { root } = await openInstanceOf(platform(), tenant);
    await root.query(`alter role "${tenant.tenant_id}" login`);
    // `up` starts gateway and agent again, and finds control's program stopped each time.
    const controls = platform().kill("control");
    const keptAway = setInterval(() => {
      for (const pid of platform().pids("control")) signal(pid, "SIGKILL");
    }, 50);
    const gateways = platform().kill("gateway");
    platform().kill("agents");
    await until("another gateway to refuse", async () => {
      if ([...controls, ...gateways].some(lives)) return false;
      await expectRefused(tenant);
      return true;
    });
    await until("another agent to bar the role", async () => {
      return (await roleOf(root, tenant))?.rolcanlogin === false;
    });
    clearInterval(keptAway);
    await platform().settled();
    await expectRefused(tenant);
    expect(await reinstate(tenant)).toMatchObject({ status: 200 });
    expect(await queryOnce(tenant.connection.uri, "select 1 as one")).toEqual([{ one: 1 }]);
  });
});

test("the command line suspends and reinstates, and its exit codes tell", async () => {
  const tenant = await platform().createTenant({ name: "by-hand" });
  const why = ["--reason", "asked for by phone", "--output", "json"];
  const suspended = await platform().cli(["tenants", "suspend", "by-hand", ...why]);
  expect(suspended.code, suspended.stderr).toBe(0);
  expect(JSON.parse(suspended.stdout)).toMatchObject({
    ...{ status: "suspended", status_reason: "asked for by phone" },
  });
  await expectRefused(tenant);
  const rotated = await platform().cli(["tenants", "rotate", "by-hand"]);
  expect(rotated.code).toBe(4);
  expect(rotated.stderr).toContain("is suspended: reinstate it first");
  const back = await platform().cli(["tenants", "reinstate", "by-hand"]);
  expect(back.code, back.stderr).toBe(0);
  expect(back.stdout).toContain("active");
  const nobody = await platform().cli(["tenants", "reinstate", "nobody"]);
  expect(nobody.code).toBe(3);
});

test("a statement that Postgres does not interrupt ends with the server that is its tenant's", async () => {
  const tenant = await platform().createTenant({ name: "stubborn-co", plan: "pro" });
  const client = await platform().connect(tenant.connection.uri);
  const parts = Array.from({ length: 1_600 }, () => "md5(s)").join(", ");
  const row = `select ${parts} from (select repeat('x', 20000000) s offset 0) q offset 0`;
  await client.query(`prepare burn as select count(*) from (${row}) z where z is not null`);
  const ended = client.query("execute burn").then(() => "served", String);
  await sleep(1_000); // It is planned, and at work.
  const answer = await suspend(tenant);
  expect(answer).toMatchObject({ status: 200, body: { status: "suspended" } });
  expect(await ended).not.toBe("served");
  await expectRefused(tenant);
  expect((await reinstate(tenant)).status).toBe(200);
  expect(await queryOnce(tenant.connection.uri, "select 1 as one")).toEqual([{ one: 1 }]);
});

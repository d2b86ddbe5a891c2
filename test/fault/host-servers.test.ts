/** What befalls one tenant's server on a host is over by itself, and no other tenant notices. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { openControlGroups } from "../../agent/src/limits/open-control-groups.ts";
import { usePlatform } from "../platform.ts";
import { queryOnce, type Tenant } from "../platform-client.ts";
import { lives, processesOf, signal } from "../processes.ts";
import { until } from "../until.ts";
import { type Bystander, createBystander, createDedicated } from "./bystander.ts";
import { agentHome } from "./reboot.ts";

const run = promisify(execFile);
const isRoot = process.geteuid?.() === 0;
/** Sessions that together want several times the memory of their instance. */
const GREEDY = 12;

const platform = usePlatform({
  environment: { AERODB_AGENT_CHECK_SECONDS: "1", AERODB_AGENT_HUNG_AFTER_SECONDS: "2" },
});
let bystander: Bystander;
let victim: Tenant;
let instanceId: string;

beforeAll(async () => {
  bystander = await createBystander(platform(), "bystander");
});

beforeEach(async ({ task }) => {
  const name = `victim-${task.id.slice(-6)}`.replaceAll("_", "-");
  ({ tenant: victim, instanceId } = await createDedicated(platform(), name));
  await queryOnce(victim.connection.uri, "create table kept as select 1 as n");
});

function serverOf(id: string): number {
  return platform().pieces().instances.get(id) ?? expect.fail(`${id} has no server`);
}

function directory(): string {
  return join(agentHome(platform()), "instances", instanceId);
}

async function reason(): Promise<string> {
  const { body } = await platform().request("GET", `/v1/tenants/${victim.tenant_id}`);
  return body.status_reason;
}

/** What the log of events says of the victim's server. */
async function told(): Promise<readonly string[]> {
  const { body } = await platform().request("GET", `/v1/events?subject=${instanceId}`);
  return body.events.map(({ kind }: { readonly kind: string }) => kind);
}

/** The victim is served with what it had, by another server than before. */
async function expectBack(before: number): Promise<void> {
  await until(
    "another server to answer",
    async () => {
      const now = platform().pieces().instances.get(instanceId);
      if (now === undefined || now === before) return false;
      return (await queryOnce(victim.connection.uri, "select n from kept")).length === 1;
    },
    40_000,
  );
  await until("the reason to be gone", async () => (await reason()) === "");
  await bystander.expectUndisturbed();
  await platform().settled();
}

/** Does something to an instance that is down, before its agent sees that it is. */
async function whileDown(work: () => Promise<void> | void): Promise<number> {
  const [agent = 0] = platform().pids("agents");
  const server = serverOf(instanceId);
  signal(agent, "SIGSTOP");
  signal(server, "SIGKILL");
  await until("the server to be dead", () => !lives(server));
  await work();
  signal(agent, "SIGCONT");
  return server;
}

test("a server that hangs is said to, ended, and started again", async () => {
  const server = serverOf(instanceId);
  signal(server, "SIGSTOP");
  await until("a reason", async () => /answered nobody for \d+ s/.test(await reason()), 60_000);
  await bystander.expectUndisturbed();
  await expectBack(server);
  expect(await told()).toEqual(["instance.hang"]);
});

test("a restart that was asked for is no event of a server that ended", async () => {
  const server = serverOf(instanceId);
  await platform().request("POST", `/v1/tenants/${victim.tenant_id}:restart`, {});
  await expectBack(server);
  expect(await told()).toEqual([]);
});

test("a server that hangs while its agent starts is ended and started again too", async () => {
  const server = serverOf(instanceId);
  signal(server, "SIGSTOP");
  platform().kill("agents");
  await until("the hung server to be ended", () => !lives(server), 60_000);
  await expectBack(server);
});

test("data that somebody copied there is not served, until the tenant's own is back", async () => {
  const aside = mkdtempSync(join(tmpdir(), "aerodb-aside-"));
  onTestFinished(() => rmSync(aside, { recursive: true, force: true }));
  const data = join(directory(), "data");
  const server = await whileDown(() => {
    renameSync(data, join(aside, "data"));
    const other = join(agentHome(platform()), "instances", bystander.instanceId, "data");
    cpSync(other, data, { recursive: true, verbatimSymlinks: true });
  });
  await until("a reason", async () => (await reason()).includes("is not what was made there"));
  expect(await reason()).toMatch(/^Unreachable: .*put the instance's own data back/);
  expect(platform().pieces().instances.has(instanceId)).toBe(false);
  rmSync(data, { recursive: true });
  renameSync(join(aside, "data"), data);
  await expectBack(server);
});

test("links and pipes among a server's files hinder nothing and lead nowhere", async () => {
  const outside = mkdtempSync(join(tmpdir(), "aerodb-outside-"));
  onTestFinished(() => rmSync(outside, { recursive: true, force: true }));
  mkdirSync(join(outside, "folder"));
  const server = await whileDown(async () => {
    for (const folder of ["", "data", "data/base", "space"]) {
      symlinkSync(outside, join(directory(), folder, "link"));
      await run("mkfifo", [join(directory(), folder, "pipe")]);
    }
  });
  await expectBack(server);
  const { status } = await platform().request("DELETE", `/v1/tenants/${victim.tenant_id}`);
  expect(status).toBe(200);
  expect(readdirSync(outside)).toEqual(["folder"]);
  await platform().settled();
});

test("a lock that outlives its server is waited for", async () => {
  const lock = join(directory(), "lock");
  const holder = spawn("flock", [lock, "tail", "-f", lock], { detached: true, stdio: "ignore" });
  onTestFinished(() => signal(-(holder.pid ?? 0), "SIGKILL"));
  const server = serverOf(instanceId);
  signal(server, "SIGKILL");
  // Its child runs once it has the lock.
  await until("the lock to change hands", () =>
    processesOf([directory()]).some(({ parent }) => parent === holder.pid),
  );
  expect(platform().pieces().instances.has(instanceId)).toBe(false);
  await bystander.expectUndisturbed();
  signal(-(holder.pid ?? 0), "SIGKILL");
  await expectBack(server);
  expect(await told()).toEqual(["instance.crash"]);
});

test.skipIf(!isRoot)("a user that somebody else has by now is no instance's", async () => {
  const instances = join(agentHome(platform()), "instances");
  const users = readdirSync(instances)
    .filter((name) => name.startsWith("ins_"))
    .map((name) => statSync(join(instances, name, "data")).uid);
  const taken = Math.max(...users) + 1;
  const somebody = spawn("sleep", ["600"], { uid: taken, gid: taken, stdio: "ignore" });
  onTestFinished(() => void somebody.kill("SIGKILL"));
  await once(somebody, "spawn");
  const [before = 0] = platform().kill("agents");
  await until("another agent", () =>
    platform()
      .pids("agents")
      .some((pid) => pid !== before),
  );
  await platform().ready();
  const { instanceId: id } = await createDedicated(platform(), "not-taken");
  const { uid } = statSync(join(instances, id, "data"));
  expect(uid).not.toBe(taken);
  expect(users).not.toContain(uid);
  await bystander.expectUndisturbed();
});

test("a query that wants too much memory gets an error, and its session goes on", async () => {
  const server = serverOf(instanceId);
  const session = await platform().connect(victim.connection.uri);
  await session.query("set work_mem = '1GB'");
  const hog = "select count(*) from (select array_agg(g) from generate_series(1, 40000000) g) t";
  await expect(session.query(hog)).rejects.toMatchObject({ code: "53200" });
  expect((await session.query("select n from kept")).rows).toEqual([{ n: 1 }]);
  expect(serverOf(instanceId)).toBe(server);
  await bystander.expectUndisturbed();
});

test("sessions that want too much together lose their server's sessions at most", async (ctx) => {
  const groups = await openControlGroups(agentHome(platform()));
  if (groups?.controllers.includes("memory") !== true) ctx.skip("no group limits memory here");
  const sessions = await Promise.all(
    Array.from({ length: GREEDY }, () => platform().connect(victim.connection.uri)),
  );
  // Less than one of them may have, and held while the others want as much.
  const hold = `with held as materialized (
      select string_agg(repeat('x', 40), '') as text from generate_series(1, 700000))
    select length(text) as bytes, pg_sleep(5) from held`;
  const ends = await Promise.allSettled(sessions.map((session) => session.query(hold)));
  const lost = ends.filter(({ status }) => status === "rejected").length;
  expect(lost, "sessions that got an error").toBeGreaterThan(0);
  const used = groups?.usage(instanceId);
  expect(used?.oomKills, "processes that the kernel killed").toBeGreaterThan(0);
  await until("the server to answer", async () => {
    return (await queryOnce(victim.connection.uri, "select n from kept")).length === 1;
  });
  await bystander.expectUndisturbed();
  await platform().settled();
});

test("a backend that the kernel kills takes its own server's sessions along, and no other's", async () => {
  const server = serverOf(instanceId);
  const session = await platform().connect(victim.connection.uri);
  const backend = processesOf([directory()]).find(
    ({ parent, arguments: words }) =>
      parent === server && words.join(" ").includes(victim.tenant_id),
  );
  signal(backend?.pid ?? expect.fail("the session has no backend"), "SIGKILL");
  await expect(session.query("select n from kept")).rejects.toThrow();
  await until("the server to answer", async () => {
    return (await queryOnce(victim.connection.uri, "select n from kept")).length === 1;
  });
  expect(serverOf(instanceId)).toBe(server);
  await bystander.expectUndisturbed();
  await platform().settled();
});

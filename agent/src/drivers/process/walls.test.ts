/** What is around a server holds against what runs in it: with real servers, on this machine. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { connectPlatform, startPostmaster } from "@aerodb/postgres";
import { newSecret, silent } from "@aerodb/runtime";
import type { Client } from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { InstanceSpec } from "../../instance-spec.ts";
import { Walls } from "../../limits/enclosure.ts";
import { groupLimitsOf } from "../../limits/group-limits.ts";
import { openControlGroups } from "../../limits/open-control-groups.ts";
import { canSandbox } from "../../limits/sandbox.ts";
import { sampleSpec } from "../../sample-spec.ts";
import { EngineShelf } from "../../storage/engine-shelf.ts";
import { layoutOf, placeOf } from "../../storage/layout.ts";
import type { RunningInstance } from "../driver.ts";
import { ProcessDriver } from "./process-driver.ts";

const run = promisify(execFile);
const signal = AbortSignal.timeout(120_000);
const rootPassword = newSecret();
const probeHome = await mkdtemp(join(tmpdir(), "walls-probe-"));
await chmod(probeHome, 0o711);
const sandboxed = await canSandbox("unshare", probeHome);
const groups = await openControlGroups(probeHome);
await rm(probeHome, { recursive: true, force: true });
const noSandbox = sandboxed ? false : "this machine gives no sandbox to this user";
const noGroups = groups === undefined ? "this user can make no control groups here" : false;

let home: string;
let shelf: EngineShelf;
let driver: ProcessDriver;
const clients: Client[] = [];

function newDriver(): ProcessDriver {
  const uids = { base: 62_000_000, count: 100 };
  return new ProcessDriver({ home, shelf, uids, logger: silent });
}

function place(spec: InstanceSpec) {
  return placeOf(layoutOf(home), spec.id);
}

async function started(change: Partial<InstanceSpec> = {}) {
  const spec = sampleSpec(change);
  await driver.make(spec);
  return { spec, running: await driver.start(spec, signal) };
}

async function connected({ socketDirectory }: RunningInstance): Promise<Client> {
  const client = await connectPlatform({ socketDirectory, password: rootPassword });
  client.on("error", () => undefined);
  clients.push(client);
  return client;
}

/** What a command prints that runs where the server runs, as who the server is. */
async function inside(running: RunningInstance, command: string): Promise<readonly string[]> {
  const client = await connected(running);
  await client.query("create temp table seen (line text)");
  const program = command.replaceAll("'", "''");
  await client.query(`copy seen from program '${program}' (format csv, delimiter e'\\x01')`);
  const { rows } = await client.query<{ line: string }>("select line from seen");
  return rows.map(({ line }) => line);
}

/** Every process that works in a directory, whatever it is called in there. */
function processesIn(directory: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === directory;
      } catch {
        return false;
      }
    })
    .map(Number);
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "walls-"));
  await chmod(home, 0o711);
  shelf = new EngineShelf({ directory: join(home, "engines"), search: {}, rootPassword });
  driver = newDriver();
  await driver.recover();
  await shelf.ready(18);
});

afterEach(async () => {
  for (const client of clients.splice(0)) await client.end().catch(() => undefined);
  for (const { id } of await driver.list()) {
    await driver.stop(id, "immediate");
    await driver.destroy(id);
  }
});

afterAll(() => rm(home, { recursive: true, force: true, maxRetries: 10 }));

test("the walls that are there are named", async () => {
  const { running } = await started();
  if (process.geteuid?.() === 0) expect(running.walls).toContain("user");
  if (!noSandbox) expect(running.walls.join(" ")).toMatch(/sandbox:(unshare|bubblewrap)/);
  if (!noSandbox) expect(running.walls).toContain("network:none");
  if (!noGroups) expect(running.walls).toContain("cgroup:memory");
  expect(running.walls).toContain("backend:memory");
  expect(running.walls).toContain("oom:backends");
  const [found] = await newDriver().list();
  expect(found?.running?.walls).toEqual(running.walls);
});

test.skipIf(noSandbox)("a server sees of the machine what it needs, and nobody else", async () => {
  const { spec: neighbour } = await started();
  const { spec, running } = await started();
  expect(await inside(running, `ls ${home}`)).toEqual(["engines", "instances", "run"]);
  expect(await inside(running, `ls ${home}/instances`)).toEqual([spec.id]);
  expect(await inside(running, `ls -A ${home}/instances/${spec.id}`)).toEqual(["data", "space"]);
  expect(await inside(running, `ls ${home}/run`)).toHaveLength(1);
  expect(await inside(running, `ls -d ${place(neighbour).data} 2>/dev/null || echo none`)).toEqual([
    "none",
  ]);
  expect(await inside(running, "ls / | tr '\\n' ' '")).not.toContain("root");
  expect(await inside(running, "ls -d /root /home /var /sys 2>/dev/null; :")).toEqual([]);
  expect(await inside(running, "ls /dev | tr '\\n' ' '")).toEqual([
    "full null random shm urandom zero ",
  ]);
});

test.skipIf(noSandbox)("a server sees no process and no network but its own", async () => {
  const { running: neighbour } = await started();
  const { running } = await started();
  const seen = await inside(running, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
  expect(seen.join(" ")).not.toContain(neighbour.socketDirectory);
  expect(seen.join(" ")).not.toContain("vitest");
  expect(await inside(running, "cat /proc/1/comm")).toEqual(["postgres"]);
  const devices = await inside(running, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '");
  expect(devices).toEqual(["lo"]);
  const listener = createServer(() => undefined).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const dial = `(exec 3<>/dev/tcp/127.0.0.1/${port}) 2>/dev/null && echo reached || echo alone`;
  await run("bash", ["-c", dial]).then(({ stdout }) => expect(stdout).toBe("reached\n"));
  expect(await inside(running, `bash -c "${dial}"`)).toEqual(["alone"]);
  listener.close();
});

test.skipIf(noSandbox)("a server can write nowhere but where its data is", async () => {
  const { spec, running } = await started();
  const writable =
    "for d in / /usr /etc /dev /proc /usr/lib /tmp; do touch $d/x 2>/dev/null && echo $d; done; :";
  expect(await inside(running, writable)).toEqual(["/tmp"]);
  expect(existsSync(join("/tmp", "x"))).toBe(false);
  expect(await inside(running, `touch ${place(spec).data}/x && echo ok`)).toEqual(["ok"]);
  const status = await inside(running, "grep -E '^(NoNewPrivs|CapEff|CapBnd)' /proc/self/status");
  expect(status).toContain("NoNewPrivs:\t1");
  expect(status).toContain("CapEff:\t0000000000000000");
  expect(await inside(running, "ulimit -c")).toEqual(["0"]);
});

test.skipIf(noSandbox)("with the postmaster every process of its server ends", async () => {
  const { spec, running } = await started();
  const { data } = place(spec);
  await connected(running);
  expect(processesIn(data).length).toBeGreaterThan(3);
  process.kill(running.pid, "SIGKILL");
  await running.exited;
  expect(processesIn(data)).toEqual([]);
  const again = await driver.start(spec, signal);
  expect((await (await connected(again)).query("select 1")).rowCount).toBe(1);
});

test.skipIf(noSandbox)("a server whose launch was never noted is adopted", async () => {
  const { spec, running } = await started();
  await rm(join(place(spec).directory, "server.pid"));
  driver = newDriver();
  await driver.recover();
  expect((await driver.list()).map((found) => found.running?.pid)).toEqual([running.pid]);
  expect((await driver.start(spec, signal)).pid).toBe(running.pid);
  await driver.stop(spec.id, "fast");
  await running.exited;
});

test.skipIf(noSandbox)("a note that names another process is not believed", async () => {
  const { spec, running } = await started();
  await writeFile(join(place(spec).directory, "server.pid"), `${process.pid} unshare\n`);
  const [found] = await newDriver().list();
  expect(found?.running?.pid).toBe(running.pid);
});

test.skipIf(noSandbox)("no second postmaster starts from other namespaces", async () => {
  const { spec } = await started();
  const { lock, data } = place(spec);
  const words = ["--fork", "--pid", "--ipc", "--mount-proc", "flock", "-n", "-E", "75", "-F", lock];
  const user = process.geteuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const second = run("unshare", [...user, ...words, "touch", join(data, "second")]);
  await expect(second).rejects.toMatchObject({ code: 75 });
  expect(existsSync(join(data, "second"))).toBe(false);
});

test.skipIf(noSandbox)("two that launch one server at once have one", async () => {
  const { spec } = await started();
  await driver.stop(spec.id, "fast");
  const { data, socketDirectory, lock, log, directory, files } = place(spec);
  const { engine } = await shelf.ready(18);
  const { uid, gid } = await stat(data);
  const owner = process.geteuid?.() === 0 ? { uid, gid } : undefined;
  const walls = new Walls({ home });
  await walls.prepare(spec);
  const space = [files];
  const where = { dataDirectory: data, socketDirectory };
  const enclosure = await walls.enclose({ spec, engine, owner, ...where, space, directory });
  const whose = owner === undefined ? {} : { owner };
  const settings = { ...where, engine, lockFile: lock, logFile: log, enclosure, ...whose };
  const [one, two] = await Promise.all([startPostmaster(settings), startPostmaster(settings)]);
  expect(one.pid).toBe(two.pid);
  await one.stop("fast");
  await Promise.all([one.exited, two.exited]);
});

test("after a restart of the machine, what servers left of themselves is no hindrance", async () => {
  const { spec, running } = await started();
  const { data, lock } = place(spec);
  const left = await readFile(join(data, "postmaster.pid"), "utf8");
  process.kill(running.pid, "SIGKILL");
  await running.exited;
  // Pids of an earlier life, by now other programs'; the kernel's own things are gone.
  const other = spawn("sleep", ["60"]);
  await writeFile(join(data, "postmaster.pid"), left);
  await writeFile(join(place(spec).directory, "server.pid"), `${other.pid} unshare\n`);
  await rm(lock);
  driver = newDriver();
  await driver.recover();
  expect((await driver.list()).map((found) => found.running)).toEqual([undefined]);
  expect((await driver.start(spec, signal)).pid).not.toBe(other.pid);
  other.kill();
});

test("backends are ended before their server when the machine is out of memory", async () => {
  const { running } = await started();
  await connected(running);
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const scores = await Promise.all(
    processes.map(async (pid) => {
      const [about = "", score = ""] = await Promise.all(
        ["stat", "oom_score_adj"].map((name) =>
          readFile(`/proc/${pid}/${name}`, "latin1").catch(() => ""),
        ),
      );
      const parent = about.slice(about.lastIndexOf(")")).split(" ")[2];
      return parent === running.pid.toString() ? [Number(score)] : [];
    }),
  );
  const own = Number(await readFile(`/proc/${running.pid}/oom_score_adj`, "latin1"));
  expect(new Set(scores.flat())).toEqual(new Set([900]));
  expect(own).toBeLessThan(900);
});

test("a query that wants too much memory fails, and nobody else notices", async () => {
  const { running: neighbour } = await started();
  const { running } = await started({ memoryMiB: 128 });
  const [bystander, other] = [await connected(running), await connected(neighbour)];
  const greedy = await connected(running);
  await greedy.query("set work_mem = '1GB'");
  const hog = "select count(*) from (select array_agg(g) from generate_series(1, 40000000) g) t";
  await expect(greedy.query(hog)).rejects.toThrow(/out of memory|memory alloc/);
  expect((await greedy.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  expect((await bystander.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  expect((await other.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  expect((await driver.usage(running)).oomKills ?? 0).toBe(0);
});

test.skipIf(noGroups)(
  "all connections of a small plan work at once, and none is lost",
  async () => {
    const { running } = await started({ memoryMiB: 128, maxConnections: 100 });
    const all = await Promise.all(Array.from({ length: 90 }, () => connected(running)));
    await all[0]?.query("create table public.rows (n int, t text)");
    const fill = "insert into public.rows select g, repeat('x', 7000) from generate_series(1, 4) g";
    const look = "select count(*) from information_schema.columns";
    for (const sql of [fill, look, fill]) await Promise.all(all.map((each) => each.query(sql)));
    expect((await all[0]?.query("select count(*)::int as n from public.rows"))?.rows).toEqual([
      { n: 720 },
    ]);
  },
  60_000,
);

test.skipIf(noGroups)(
  "a server that wants more time than it may have waits, and that is counted",
  async () => {
    const { spec, running } = await started();
    // So little that it is held back on a busy machine too.
    const limits = { ...groupLimitsOf(spec), cpuQuotaMillis: 20 };
    await (await openControlGroups(home))?.make(spec.id, limits);
    const client = await connected(running);
    client.query("select count(*) from generate_series(1, 30000000)").catch(() => undefined);
    const periods = async () => (await driver.usage(running)).throttledPeriods;
    await expect.poll(periods, { timeout: 15_000 }).toBeGreaterThan(3);
    const usage = await driver.usage(running);
    expect(usage.throttledSeconds).toBeGreaterThan(0.05);
    expect(usage.cpuSeconds).toBeGreaterThan(0.01);
    expect(usage.memoryBytes).toBeGreaterThan(1_000_000);
    expect(usage.processes).toBeGreaterThan(3);
  },
);

test.skipIf(noGroups)(
  "more processes than allowed are refused, and the server goes on",
  async () => {
    const { running } = await started({ maxConnections: 50, pidsLimit: 16 });
    const first = await connected(running);
    const many = await Promise.allSettled(Array.from({ length: 20 }, () => connected(running)));
    const refused = many.filter((each) => each.status === "rejected");
    expect(refused.length).toBeGreaterThan(3);
    expect((await first.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  },
);

test.skipIf(noGroups)("limits of a running server move, and it is not restarted", async () => {
  const { spec, running } = await started();
  const large = async (client: Client) => {
    const text = "string_agg(repeat('x', 40), '')";
    const { rows } = await client.query(
      `select length(${text}) as bytes from generate_series(1, 1200000)`,
    );
    return rows[0].bytes;
  };
  await expect(large(await connected(running))).rejects.toThrow("out of memory");
  const larger = { ...spec, cpuMillis: 2_000, memoryMiB: 512, maxConnections: 40 };
  expect(await driver.resize(running, larger)).toEqual([]);
  const limits = await readFile(`/proc/${running.pid}/limits`, "utf8");
  expect(limits).toMatch(new RegExp(`^Max data size +${256 * 2 ** 20} `, "m"));
  await expect(large(await connected(running))).resolves.toBe(48_000_000);
  expect((await newDriver().list())[0]?.running?.pid).toBe(running.pid);
});

test.skipIf(noGroups)("the groups of servers that are gone are removed", async () => {
  const { spec, running } = await started();
  process.kill(running.pid, "SIGKILL");
  await running.exited;
  driver = newDriver();
  await expect
    .poll(async () => {
      await driver.recover();
      return (await openControlGroups(home))?.names();
    })
    .not.toContain(spec.id);
});

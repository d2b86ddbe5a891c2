/** What is true of the container driver only: what Docker is told, and what becomes of Docker. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { archiveOf } from "../../../agent/src/drivers/container/archive.ts";
import type { RunningInstance } from "../../../agent/src/drivers/driver.ts";
import type { InstanceSpec } from "../../../agent/src/instance-spec.ts";
import { groupLimitsOf } from "../../../agent/src/limits/group-limits.ts";
import { sampleSpec } from "../../../agent/src/sample-spec.ts";
import { until } from "../../until.ts";
import type { RealDriverHost } from "./driver-host.ts";
import { openDriver } from "./driver-kinds.ts";
import type { ThrowawayDocker } from "./throwaway-docker.ts";

interface Containers {
  readonly host: () => RealDriverHost;
  readonly docker: () => ThrowawayDocker;
}

const signal = AbortSignal.timeout(600_000);

export function containerFaults(given: Containers): void {
  walls(given);
  memory(given);
  withoutDocker(given);
  images(given);
}

/** An instance that serves, and what Docker says of its container. */
async function serving({ host, docker }: Containers, spec: InstanceSpec = sampleSpec()) {
  const driver = await host().next();
  await driver.make(spec, signal);
  const running = await driver.start(spec, signal);
  const container = docker().client.getContainer(`aerodb-${spec.id}`);
  return { driver, spec, running, container };
}

/** A file of the control group that a server is in. */
async function groupFile({ pid }: RunningInstance, tree: string, file: string): Promise<string> {
  const groups = await readFile(`/proc/${pid}/cgroup`, "utf8");
  const named = new RegExp(`^\\d+:(?:[a-z_]+,)*${tree}(?:,[a-z_]+)*:(.*)$`, "m").exec(groups);
  const group = named?.[1] ?? /^0::(.*)$/m.exec(groups)?.[1] ?? "";
  const root = named === null ? "/sys/fs/cgroup" : join("/sys/fs/cgroup", tree);
  return (await readFile(join(root, group, file), "utf8")).trim();
}

function walls(given: Containers): void {
  test("a container has no network, no capabilities, and nothing but its data to write to", async () => {
    const { running } = await serving(given);
    const status = await readFile(`/proc/${running.pid}/status`, "utf8");
    for (const set of ["Inh", "Prm", "Eff", "Bnd", "Amb"]) {
      expect(status).toMatch(new RegExp(`^Cap${set}:\t0+$`, "m"));
    }
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
    const interfaces = await readFile(`/proc/${running.pid}/net/dev`, "utf8");
    expect(interfaces.match(/^\s*\w+:/gm)?.map((line) => line.trim())).toEqual(["lo:"]);
    const mounts = await readFile(`/proc/${running.pid}/mounts`, "utf8");
    expect(mounts).toMatch(/^overlay \/ overlay ro,/m);
    const limits = await readFile(`/proc/${running.pid}/limits`, "utf8");
    expect(limits).toMatch(/^Max core file size +0 +0 /m);
    const stands = ["cgroup:cpu", "cgroup:memory", "cgroup:pids", "backend:memory"];
    const around = ["sandbox:container", "network:none", "user"];
    expect(running.walls).toEqual(expect.arrayContaining([...stands, ...around]));
    expect(await given.host().ask(running, "select pg_read_file('/proc/1/comm')")).toEqual([
      expect.stringContaining("postgres"),
    ]);
  });

  test("new limits are in force while the same server runs", async () => {
    const { driver, spec, running } = await serving(given);
    const before = await groupFile(running, "pids", "pids.max");
    expect(Number(before)).toBe(groupLimitsOf(spec).processes);
    const larger = sampleSpec({ ...spec, memoryMiB: 512, pidsLimit: 99 });
    await driver.resize(running, larger);
    expect(await groupFile(running, "pids", "pids.max")).toBe("99");
    const limits = await readFile(`/proc/${running.pid}/limits`, "utf8");
    expect(limits).toMatch(new RegExp(`^Max data size +${256 * 2 ** 20} +unlimited`, "m"));
    expect(await given.host().ask(running, "select 1")).toEqual([1]);
  });
}

function memory(given: Containers): void {
  test("a query that wants too much memory gets an error, and the server goes on", async () => {
    const { running } = await serving(given);
    const greedy = "select length(repeat('x', 500_000_000))";
    await expect(given.host().ask(running, greedy)).rejects.toThrow("out of memory");
    expect(await given.host().ask(running, "select 1")).toEqual([1]);
  });

  test("where all sessions together want too much, one is ended and the server comes back", async () => {
    const { driver, running } = await serving(given);
    const sessions = await Promise.all(
      Array.from({ length: 9 }, () => given.host().connect(running)),
    );
    // Each stays under its own limit; together they are over the container's.
    const hoard =
      "do $$ declare t text := repeat('x', 26000000); begin perform pg_sleep(5); end $$";
    await Promise.allSettled(sessions.map((session) => session.query(hoard)));
    for (const session of sessions) await session.end().catch(() => undefined);
    await until("the server to answer", () => given.host().ask(running, "select 1"));
    expect((await driver.usage(running)).oomKills).toBeGreaterThan(0);
    const found = (await driver.list()).find(({ id }) => id === running.id);
    expect(found?.running).toMatchObject({ pid: running.pid });
  });
}

function withoutDocker(given: Containers): void {
  test("servers go on while Docker is killed, and the same agent finds out what ended meanwhile", async () => {
    const { host, docker } = given;
    const stays = await serving(given);
    const ends = await serving(given);
    await docker().kill();
    expect(await host().ask(stays.running, "select 1")).toEqual([1]);
    await expect(stays.driver.stop(stays.spec.id, "fast")).rejects.toThrow("Docker");
    host().kill(ends.running);
    await docker().run();

    await ends.running.exited;
    const found = await (await host().next()).list();
    const pidOf = (id: string) => found.find((each) => each.id === id)?.running?.pid;
    expect(pidOf(stays.spec.id)).toBe(stays.running.pid);
    expect(pidOf(ends.spec.id)).toBeUndefined();
    const again = await ends.driver.start(ends.spec, signal);
    expect(await host().ask(again, "select 1")).toEqual([1]);
    host().kill(stays.running);
    await stays.running.exited;
  });

  test("an agent without Docker says where it looked", async () => {
    const dockerSocket = join(given.host().recipe.home, "nowhere.sock");
    const driver = openDriver({ ...given.host().recipe, dockerSocket }, signal);
    await expect(driver.list()).rejects.toThrow(/Docker could not list containers.*nowhere.sock/);
  });
}

/** An image with nothing in it. */
async function importEmpty({ docker }: Containers, repo: string): Promise<void> {
  const { client } = docker();
  const progress = await client.importImage(Readable.from(archiveOf([])), { repo, tag: "18" });
  for await (const _ of progress);
}

function images(given: Containers): void {
  test("an image that the operator names is pinned: when its name moves, nothing changes", async () => {
    const { host, docker } = given;
    await serving(given);
    const [built] = await docker().client.listImages();
    await docker()
      .client.getImage(built?.Id ?? "")
      .tag({ repo: "own-postgres", tag: "18" });
    const recipe = { ...host().recipe, image: "own-postgres:{major}" };
    const spec = sampleSpec();
    const driver = openDriver(recipe, signal);
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    expect(running.engine).toBe("18.4");
    expect(await host().ask(running, "select 1")).toEqual([1]);

    await importEmpty(given, "own-postgres");
    expect((await docker().client.getImage("own-postgres:18").inspect()).Id).not.toBe(built?.Id);
    await driver.stop(spec.id, "fast");
    const later = await openDriver(recipe, signal).start(spec, signal);
    expect(await host().ask(later, "select 1")).toEqual([1]);
  });

  test("an image without Postgres in it is refused with a sentence", async () => {
    await importEmpty(given, "no-postgres");
    const recipe = { ...given.host().recipe, image: "no-postgres:18" };
    const driver = openDriver(recipe, signal);
    const spec = sampleSpec();
    await driver.make(spec, signal);
    await expect(driver.start(spec, signal)).rejects.toThrow("no-postgres:18");
  });
}

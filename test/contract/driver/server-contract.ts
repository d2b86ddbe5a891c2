/** What is true of every driver whose servers are real. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "@aerodb/model";
import { canChangeOwner } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { backendsOf } from "../../../agent/src/backend-processes.ts";
import { sampleSpec } from "../../../agent/src/sample-spec.ts";
import { failpointsOf } from "../../fault/failpoints.ts";
import type { RealDriverHost } from "./driver-host.ts";
import type { DriverRecipe } from "./driver-kinds.ts";

type Given = () => RealDriverHost;

const signal = AbortSignal.timeout(600_000);

export function realServers(kind: DriverRecipe["kind"]): (host: Given) => void {
  return (host) => {
    serving(host);
    ending(host);
    starting(host);
    telling(host);
    killedAtEachStep(host, kind);
  };
}

function serving(host: Given): void {
  test("a server runs under a user of its own and keeps what it was given", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    await host().ask(running, "create table public.kept as select 7 as seven");
    const { uid } = await stat(host().place(spec).data);
    const status = await readFile(`/proc/${running.pid}/status`, "utf8");
    expect(status).toMatch(new RegExp(`^Uid:\t${uid}\t${uid}\t${uid}\t${uid}$`, "m"));
    if (canChangeOwner()) expect(uid).toBeGreaterThanOrEqual(host().recipe.uidBase);

    await driver.stop(spec.id, "fast");
    const again = await driver.start(spec, signal);
    expect(again.systemIdentifier).toBe(running.systemIdentifier);
    expect(await host().ask(again, "select seven from public.kept")).toEqual([7]);
    await driver.stop(spec.id, "fast");
    await driver.destroy(spec.id);
    for (const left of ["instances", "run"]) {
      expect(await readdir(join(host().recipe.home, left))).toEqual([]);
    }
  });

  test("no secret of the agent is in the server's arguments, environment or log", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    await host().ask(running, "select 1");
    const files = [`/proc/${running.pid}/cmdline`, `/proc/${running.pid}/environ`];
    for (const path of [...files, host().place(spec).log]) {
      expect(await readFile(path, "utf8")).not.toContain(host().recipe.rootPassword);
    }
  });
}

function ending(host: Given): void {
  test("a fast stop ends sessions and loses nothing that was committed", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    const session = await host().connect(running);
    await session.query("create table public.committed as select 1 as one");
    await session.query("begin");
    await driver.stop(spec.id, "fast");
    await running.exited;
    await expect(session.query("select 1")).rejects.toThrow();
    const again = await driver.start(spec, signal);
    expect(await host().ask(again, "select one from public.committed")).toEqual([1]);
    expect(await readFile(host().place(spec).log, "utf8")).toContain(
      "database system is shut down",
    );
  });

  test("a smart stop lets nobody in, and those who are inside go on until they leave", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    const session = await host().connect(running);
    await session.query("begin");
    const stopping = driver.stop(spec.id, "smart");
    const stranger = () => host().ask(running, "select 1").then(String, messageOf);
    await expect.poll(stranger).toContain("shutting down");
    await session.query("create table public.late as select 1 as one");
    await session.query("commit");
    await session.end();
    await stopping;
    await running.exited;
    const again = await driver.start(spec, signal);
    expect(await host().ask(again, "select one from public.late")).toEqual([1]);
  });

  test("a server that heeds nothing is down by the deadline", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    process.kill(running.pid, "SIGSTOP");
    await driver.stop(spec.id, "fast", 800);
    await running.exited;
    const found = (await driver.list()).find(({ id }) => id === spec.id);
    expect(found?.running).toBeUndefined();
  });
}

function starting(host: Given): void {
  test("a server that cannot start says why", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    await rm(join(host().place(spec).data, "PG_VERSION"));
    await expect(driver.start(spec, signal)).rejects.toThrow(/PG_VERSION|valid data directory/);
  });

  test("while a server runs, no other kind of driver starts a second on its data", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    const other = await host().as("process");
    const second = await other.start(spec, AbortSignal.timeout(1_500)).catch(() => undefined);
    expect(second?.pid ?? running.pid).toBe(running.pid);
    expect(await host().ask(running, "select 1")).toEqual([1]);
  });

  test("what an agent left half made or half destroyed is removed", async () => {
    const { making, gone } = host().place(sampleSpec());
    for (const path of [making, gone]) {
      await mkdir(path);
      await writeFile(join(path, "file"), "half");
    }
    await host().next();
    expect([making, gone].map((path) => existsSync(path))).toEqual([false, false]);
  });

  test("a survey finds paths and servers that belong to nothing", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const { pid } = await driver.start(spec, signal);
    const { home } = host().recipe;
    const strays = ["instances", "run"].map((folder) => join(home, folder, "stray"));
    for (const stray of strays) await mkdir(stray);
    expect((await driver.survey()).strayPaths).toEqual(strays);
    for (const stray of strays) await rm(stray, { recursive: true });

    const { directory } = host().place(spec);
    const hidden = `${directory}-hidden`;
    await rename(directory, hidden);
    const survey = await driver.survey();
    expect(survey.strayProcesses.map((each) => each.pid)).toContain(pid);
    await rename(hidden, directory);
  });
}

function telling(host: Given): void {
  test("what a server used grows with its work", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    const before = await driver.usage(running);
    await host().ask(running, "select count(*) from generate_series(1, 300000)");
    const after = await driver.usage(running);
    if (before.cpuSeconds !== undefined) {
      expect(after.cpuSeconds).toBeGreaterThan(before.cpuSeconds);
      expect(after.memoryBytes).toBeGreaterThan(1_000_000);
      expect(after.processes).toBeGreaterThan(1);
    }
  });

  test("a session that gives way answers all the same, and who is not there gives none", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    const asleep = host().ask(running, "select 1 from pg_sleep(2)");
    const sleeper = "select pid from pg_stat_activity where wait_event = 'PgSleep'";
    await expect.poll(() => host().ask(running, sleeper)).toHaveLength(1);
    const [pid] = await host().ask(running, sleeper);
    const [backend] = await backendsOf(running.pid, new Set([Number(pid)]));
    const end = await driver.giveWay(running, backend?.pid ?? expect.fail("it sleeps"));
    expect(await asleep).toEqual([1]);
    await end?.();
    expect(await driver.giveWay(running, 999_999)).toBeUndefined();
  });

  test("the mark of what was written changes with every write, and with nothing else", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    const mark = () => driver.records.writeMark(spec.id);
    await host().ask(running, "create role written");
    // What the server itself writes behind a change comes within moments.
    await sleep(1_000);
    const before = await mark();
    await sleep(1_000);
    expect(await mark()).toBe(before);
    await host().ask(running, "alter role written connection limit 3");
    expect(await mark()).not.toBe(before);
  });

  test("a log is read on from where the last part ended", async () => {
    const driver = await host().next();
    const spec = sampleSpec();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    const first = await driver.log(spec.id, { cursor: "", bytes: 65_536 });
    expect(first.text).toContain("ready to accept connections");
    const none = await driver.log(spec.id, { cursor: first.cursor, bytes: 65_536 });
    expect(none.text).toBe("");
    await driver.stop(spec.id, "fast");
    await running.exited;
    const rest = await driver.log(spec.id, { cursor: none.cursor, bytes: 65_536 });
    expect(rest.text).toContain("shut down");
    expect(rest.text).not.toContain("ready to accept connections");
  });
}

/** Steps of a driver, and of what is on disk, that every life passes. */
function stepsOf(kind: DriverRecipe["kind"]): readonly string[] {
  const steps = [...failpointsOf("agent", `drivers/${kind}`), ...failpointsOf("agent", "storage")];
  return steps.filter((name) => PASSED.test(name) && name !== "agent.instance.resized");
}

const PASSED = /^agent\.(instance|container)\./;

function killedAtEachStep(host: Given, kind: DriverRecipe["kind"]): void {
  test.for(stepsOf(kind))("an agent killed at %s leaves all whole or nothing", async (step) => {
    const spec = sampleSpec();
    expect(await host().liveElsewhere(spec, step)).toBe("SIGKILL");

    const driver = await host().next();
    await driver.make(spec, signal);
    const running = await driver.start(spec, signal);
    expect(await host().ask(running, "select 1")).toEqual([1]);
    const survey = await driver.survey();
    expect(survey).toMatchObject({ strayProcesses: [], strayPaths: [] });
    expect(survey.instances).toEqual([{ id: spec.id, postmasterPid: running.pid }]);
    await driver.stop(spec.id, "fast");
    await driver.destroy(spec.id);
    expect(await driver.survey()).toEqual({ instances: [], strayProcesses: [], strayPaths: [] });
  });
}

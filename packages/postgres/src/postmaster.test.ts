import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectPlatform } from "./connection.ts";
import { findPostmaster, type Postmaster } from "./postmaster.ts";
import type { PostmasterSettings } from "./postmaster-launch.ts";
import { startPostmaster } from "./postmaster-start.ts";
import {
  ROOT_PASSWORD,
  type ThrowawayHome,
  throwawayHome,
  throwawayInstance,
} from "./throwaway-instance.ts";

let home: ThrowawayHome;
let settings: PostmasterSettings;
beforeAll(async () => {
  home = await throwawayHome();
  settings = await throwawayInstance(home, "i");
});
afterAll(async () => {
  await (await findPostmaster(settings.dataDirectory))?.stop("immediate");
  await home.remove();
});

async function restarted(): Promise<Postmaster> {
  await (await findPostmaster(settings.dataDirectory))?.stop("fast");
  return startPostmaster(settings);
}

function answer() {
  const { socketDirectory } = settings;
  return connectPlatform({ socketDirectory, password: ROOT_PASSWORD });
}

test("a started server answers, as its owner, without this process's environment", async () => {
  const postmaster = await restarted();
  const client = await answer();
  expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await client.end();
  const status = await readFile(`/proc/${postmaster.pid}/status`, "utf8");
  const uid = home.owner?.uid ?? process.geteuid?.();
  expect(status).toContain(`\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\n`);
  const environment = (await readFile(`/proc/${postmaster.pid}/environ`, "utf8")).split("\0");
  const names = environment.map((pair) => pair.split("=")[0]).filter((name) => name !== "");
  expect(names.toSorted()).toEqual([
    "LC_ALL",
    "PATH",
    "PG_OOM_ADJUST_FILE",
    "PG_OOM_ADJUST_VALUE",
    "TZ",
  ]);
});

test("a server that runs is adopted, not started again", async () => {
  const postmaster = await restarted();
  const [found, started] = await Promise.all([
    findPostmaster(settings.dataDirectory),
    startPostmaster(settings),
  ]);
  expect(found?.pid).toBe(postmaster.pid);
  expect(started.pid).toBe(postmaster.pid);
  await started.stop("fast");
  await Promise.all([found?.exited, started.exited, postmaster.exited]);
  expect(await findPostmaster(settings.dataDirectory)).toBeUndefined();
  await postmaster.stop("fast");
});

test("what is no directory has no server, while others run", async () => {
  const postmaster = await restarted();
  const file = join(settings.dataDirectory, "PG_VERSION");
  expect(await findPostmaster(join(file, "data"))).toBeUndefined();
  await postmaster.stop("fast");
});

test("two that start at once have one server", async () => {
  await (await restarted()).stop("fast");
  const [one, two] = await Promise.all([startPostmaster(settings), startPostmaster(settings)]);
  expect(two.pid).toBe(one.pid);
});

test("a killed server can be started at once, while its processes are still ending", async () => {
  const postmaster = await restarted();
  const client = await answer();
  process.kill(postmaster.pid, "SIGKILL");
  await postmaster.exited;
  const next = await startPostmaster(settings);
  expect(next.pid).not.toBe(postmaster.pid);
  await client.end().catch(() => undefined);
});

test("a stopped server, which heeds nothing, is killed in the end", async () => {
  const postmaster = await restarted();
  process.kill(postmaster.pid, "SIGSTOP");
  await postmaster.stop("fast", { deadlineMs: 400 });
  await postmaster.exited;
  expect(await findPostmaster(settings.dataDirectory)).toBeUndefined();
});

test("a pid file that names another program is not believed, and does not hinder a start", async () => {
  await (await restarted()).stop("fast");
  // It even stands in the data directory, and belongs to the same user.
  const other = spawn("sleep", ["60"], { cwd: settings.dataDirectory, ...(home.owner ?? {}) });
  await once(other, "spawn");
  const lines = [
    other.pid,
    settings.dataDirectory,
    1,
    5432,
    settings.socketDirectory,
    "",
    0,
    "ready",
  ];
  await writeFile(join(settings.dataDirectory, "postmaster.pid"), `${lines.join("\n")}\n`);
  expect(await findPostmaster(settings.dataDirectory)).toBeUndefined();
  const postmaster = await startPostmaster(settings);
  expect(postmaster.pid).not.toBe(other.pid);
  other.kill();
});

test("a server that cannot come up is a fault with the end of its log", async () => {
  const broken = await throwawayInstance(home, "broken");
  await writeFile(join(broken.dataDirectory, "postgresql.conf"), "shared_buffers = lots\n");
  await expect(startPostmaster(broken)).rejects.toThrow(/before it was ready: .*shared_buffers/);
});

test("one that writes nothing to its log is a fault with what an earlier one wrote last", async () => {
  const mute = await throwawayInstance(home, "mute");
  await writeFile(mute.logFile, "PANIC:  could not write to file\n");
  const enclosure = { wrap: () => ["false"] };
  await expect(startPostmaster({ ...mute, enclosure })).rejects.toThrow(
    /ended with code 1 before it was ready: it wrote nothing .* wrote last: PANIC: {2}could not/,
  );
});

test("a socket path that the kernel would refuse is refused with a sentence", async () => {
  const socketDirectory = join(home.directory, "x".repeat(100));
  await expect(startPostmaster({ ...settings, socketDirectory })).rejects.toThrow("shorter");
});

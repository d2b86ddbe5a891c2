import { chmod, mkdtemp, rename, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { socketPath } from "@aerodb/postgres";
import { newSecret, silent, sleep } from "@aerodb/runtime";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { RunningInstance } from "./drivers/driver.ts";
import { ProcessDriver } from "./drivers/process/process-driver.ts";
import { HungServers, isAsleep } from "./hung-servers.ts";
import { sampleSpec } from "./sample-spec.ts";
import { EngineShelf } from "./storage/engine-shelf.ts";

const QUICK = { afterMs: 600, pauseMs: 50, answerMs: 150 };
const signal = AbortSignal.timeout(60_000);
const spec = sampleSpec();
const ended: string[] = [];
let isIdle = false;
let home: string;
let driver: ProcessDriver;
let running: RunningInstance;

function hungServers(isCurrent: () => boolean = () => true): HungServers {
  async function end(instance: RunningInstance, reason: string): Promise<void> {
    ended.push(reason);
    await driver.stop(instance.id, "immediate", 2_000);
  }
  return new HungServers({ isCurrent, isIdle: () => isIdle, end, signal }, QUICK);
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "hung-"));
  await chmod(home, 0o711);
  const rootPassword = newSecret();
  const shelf = new EngineShelf({ directory: join(home, "engines"), search: {}, rootPassword });
  driver = new ProcessDriver({ home, shelf, uids: { base: 61_000_000, count: 9 }, logger: silent });
  await driver.recover();
  await driver.make(spec);
  running = await driver.start(spec, signal);
});
afterEach(() => {
  ended.length = 0;
  isIdle = false;
});
afterAll(async () => {
  await driver.stop(spec.id, "immediate");
  await rm(home, { recursive: true, force: true, maxRetries: 10 });
});

test("a server that answers is left alone, whatever it was suspected of", async () => {
  await hungServers().suspect(running);
  expect(ended).toEqual([]);
});

test("a server that answers again in time is left alone", async () => {
  process.kill(running.pid, "SIGSTOP");
  const asked = hungServers().suspect(running);
  setTimeout(() => process.kill(running.pid, "SIGCONT"), 200);
  await asked;
  expect(ended).toEqual([]);
});

test("a suspicion ends with the server that it was of", async () => {
  process.kill(running.pid, "SIGSTOP");
  let current = true;
  const asked = hungServers(() => current).suspect(running);
  current = false;
  await asked;
  process.kill(running.pid, "SIGCONT");
  expect(ended).toEqual([]);
});

/** Until a process has slept for a while: who was asked just now clears up behind that. */
async function untilAsleep(pid: number): Promise<void> {
  for (let asleep = 0; asleep < 10; ) {
    await sleep(10);
    asleep = isAsleep(pid) ? asleep + 1 : 0;
  }
}

test("a server that nobody uses is asked once and then left asleep, until somebody comes", async () => {
  const hung = hungServers();
  await hung.look(running);
  await untilAsleep(running.pid);
  const socket = socketPath(running.socketDirectory);
  await rename(socket, `${socket}.away`);
  isIdle = true;
  await hung.look(running);
  expect(hung.isSuspected(running.id)).toBe(false);
  isIdle = false;
  const asked = hung.look(running);
  expect(hung.isSuspected(running.id)).toBe(true);
  await rename(`${socket}.away`, socket);
  await asked;
  expect(ended).toEqual([]);
});

test("a server that is stopped is asked at once, whether or not anybody uses it", async () => {
  const hung = hungServers();
  await hung.look(running);
  isIdle = true;
  process.kill(running.pid, "SIGSTOP");
  const asked = hung.look(running);
  expect(hung.isSuspected(running.id)).toBe(true);
  process.kill(running.pid, "SIGCONT");
  await asked;
  expect(ended).toEqual([]);
});

test("a server that says nothing for long enough is ended, with a reason, and starts anew", async () => {
  process.kill(running.pid, "SIGSTOP");
  const hung = hungServers();
  await Promise.all([hung.suspect(running), hung.suspect(running)]);
  expect(ended).toEqual([expect.stringMatching(/answered nobody for \d+ s/)]);
  await running.exited;
  const next = await driver.start(spec, signal);
  expect(next.pid).not.toBe(running.pid);
  await hungServers().suspect(next);
  expect(ended).toHaveLength(1);
});

test("a socket on which nobody ever speaks is no server that answers", async () => {
  const directory = await mkdtemp(join(tmpdir(), "mute-"));
  const mute: Server = createServer(() => undefined).listen(socketPath(directory));
  let asks = 0;
  function isAskedTwice(): boolean {
    asks += 1;
    return asks < 3;
  }
  const instance = { ...running, socketDirectory: directory };
  await hungServers(isAskedTwice).suspect(instance);
  expect(asks).toBe(3);
  mute.close();
  await rm(directory, { recursive: true });
});

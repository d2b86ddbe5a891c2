/**
 * A Docker for one test file: apart from any other on this machine, with its state in a temporary
 * directory. It makes no network, so that nothing of the machine's changes.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, readFileSync } from "node:fs";
import { mkdtemp, open, readdir, rm, rmdir } from "node:fs/promises";
import { basename, delimiter, join } from "node:path";

import { monotonicMs, sleep, within } from "@aerodb/runtime";

import { openDocker } from "../../../agent/src/drivers/container/docker-calls.ts";
import { lives, signal } from "../../processes.ts";

const ANSWER_MS = 30_000;
const END_MS = 20_000;
/**
 * After it was killed, what it had started is looked for by its pid, which init must have reaped.
 */
const REAPED_MS = 2_500;
const GROUPS = "/sys/fs/cgroup";

/** Why this machine cannot run one; undefined when it can. */
export function dockerMissing(): string | undefined {
  if (process.geteuid?.() !== 0) return "Docker is started for the test, which only root can";
  if (!isProgram("dockerd")) return "dockerd is not installed (Debian: docker.io)";
  return undefined;
}

function isProgram(name: string): boolean {
  const directories = (process.env["PATH"] ?? "").split(delimiter);
  return directories.some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

export class ThrowawayDocker {
  readonly directory: string;
  readonly client: ReturnType<typeof openDocker>;
  #process: ChildProcess | undefined;

  private constructor(directory: string) {
    this.directory = directory;
    this.client = openDocker(this.socketPath);
  }

  static async start(): Promise<ThrowawayDocker> {
    // Short: sockets are made below it.
    const docker = new ThrowawayDocker(await mkdtemp("/tmp/aerodb-docker-"));
    process.once("exit", docker.#killAtExit);
    await docker.run();
    return docker;
  }

  get socketPath(): string {
    return join(this.directory, "docker.sock");
  }

  /** Starts it, again after it was killed. */
  async run(): Promise<void> {
    const log = await open(join(this.directory, "log"), "a");
    const child = spawn("dockerd", this.#words(), { stdio: ["ignore", log.fd, log.fd] });
    this.#process = child;
    await log.close();
    const deadline = monotonicMs() + ANSWER_MS;
    while (!(await this.#answers())) {
      if (child.exitCode !== null || monotonicMs() > deadline) {
        const said = readFileSync(join(this.directory, "log"), "utf8").slice(-2_000);
        throw new Error(`The throwaway Docker did not start: ${said}`);
      }
      await sleep(100);
    }
  }

  /** Ends it as a crash would. What runs in containers goes on. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
    await sleep(REAPED_MS);
  }

  async close(): Promise<void> {
    const containers = await this.client.listContainers({ all: true });
    for (const { Id } of containers) {
      await this.client
        .getContainer(Id)
        .remove({ force: true })
        .catch(() => undefined);
    }
    await this.#end("SIGTERM");
    process.off("exit", this.#killAtExit);
    for (const mount of this.#mounts()) execFileSync("umount", ["--lazy", mount]);
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10 });
    await removeGroups(this.#group);
  }

  /** A test that fails before it closes this leaves at least no process behind. */
  readonly #killAtExit = (): void => {
    this.#process?.kill("SIGTERM");
  };

  get #group(): string {
    return basename(this.directory);
  }

  #words(): readonly string[] {
    const at = (name: string): string => join(this.directory, name);
    return [
      ...["--host", `unix://${this.socketPath}`],
      ...["--data-root", at("data"), "--exec-root", at("run"), "--pidfile", at("pid")],
      ...["--live-restore", "--log-level", "warn"],
      ...["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", `/${this.#group}`],
      ...["--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"],
    ];
  }

  async #answers(): Promise<boolean> {
    return this.client.ping().then(
      () => true,
      () => false,
    );
  }

  async #end(how: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined || !lives(child.pid)) return;
    const ended = once(child, "exit");
    signal(child.pid, how);
    await within({ ms: END_MS, expecting: "the throwaway Docker to end" }, ended);
  }

  #mounts(): readonly string[] {
    return readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[1] ?? "")
      .filter((path) => path.startsWith(`${this.directory}/`))
      .toReversed();
  }
}

/** Control groups of Docker's stay when they are empty. */
async function removeGroups(name: string): Promise<void> {
  const trees = await readdir(GROUPS).catch((): string[] => []);
  for (const tree of ["", ...trees]) {
    const group = join(GROUPS, tree, name);
    await rmdir(group).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "EBUSY") throw new Error(`${group} is in use: ${error.message}`);
    });
  }
}

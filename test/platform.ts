/**
 * A whole platform for a test: the real `aerodb up` with a home and ports of its own, and what a
 * test needs to look at it, break it and prove that nothing of it is left.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monotonicMs } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, expect, onTestFinished } from "vitest";
import { unmountUnder } from "../agent/src/storage/mounts.ts";
import { localFindings } from "../cli/src/up/local-findings.ts";
import { freePorts, isFree, releasePorts } from "./free-ports.ts";
import { type Pieces, piecesOf, rootsOf } from "./pieces.ts";
import * as client from "./platform-client.ts";
import { lastingProcessesOf, lives, processesOf, signal } from "./processes.ts";
import {
  AERODB,
  cleanEnvironment,
  type Ended,
  REPOSITORY,
  type RunOptions,
  run,
} from "./program.ts";
import { shareEngines } from "./shared-engines.ts";
import { until } from "./until.ts";

export interface PlatformOptions {
  /** A directory that is not there yet; one of its own when left out. */
  readonly home?: string;
  readonly agents?: number;
  readonly environment?: Readonly<Record<string, string>>;
  readonly arguments?: readonly string[];
  /**
   * Puts the home below a directory that only its owner may enter, as a home directory often is.
   */
  readonly behindPrivateDirectory?: boolean;
  /** The program to run, where it is not the repository's own. */
  readonly program?: { readonly node: string; readonly aerodb: string };
  /** False for a test that breaks the start itself. */
  readonly waitUntilReady?: boolean;
  /** Makes engine and templates in the home, as one with a place or a program of its own does. */
  readonly ownEngines?: boolean;
}

export interface Finding {
  readonly kind: string;
  readonly host_id: string;
  readonly subject: string;
  readonly detail: string;
}

export type Piece = "control" | "agents" | "gateway" | "catalogue" | "instances" | "up";

/** On a machine on which much else goes on. */
const START_MS = 90_000;
const STOP_MS = 10_000;
/** What a failed test shows of each log. */
const LOG_LINES = 30;
const LOG_LINE_LENGTH = 300;

export class Platform {
  readonly home: string;
  readonly restPort: number;
  readonly grpcPort: number;
  readonly pgPort: number;
  readonly linkPort: number;
  readonly pgPooledPort: number;
  /** All that `up` has written, of every start. */
  output = "";
  readonly #directory: string;
  readonly #options: PlatformOptions;
  readonly #clients: pg.Client[] = [];
  readonly #engines: Readonly<Record<string, string>>;
  #roots: ReadonlySet<string>;
  #up: ChildProcess | undefined;

  constructor(ports: readonly number[], options: PlatformOptions) {
    const [rest = 0, grpc = 0, pgPort = 0, link = 0, pooled = 0] = ports;
    this.restPort = rest;
    this.grpcPort = grpc;
    this.pgPort = pgPort;
    this.linkPort = link;
    this.pgPooledPort = pooled;
    this.#options = options;
    this.#directory = mkdtempSync(join(tmpdir(), "aerodb-test-"));
    if (options.behindPrivateDirectory !== true) chmodSync(this.#directory, 0o755);
    this.home = options.home ?? join(this.#directory, "home");
    this.#roots = new Set([this.home]);
    const isOwn = options.ownEngines === true || options.behindPrivateDirectory === true;
    const isElsewhere = options.home !== undefined || options.program !== undefined;
    this.#engines = isOwn || isElsewhere ? {} : shareEngines(this.home);
  }

  get restUrl(): string {
    return `http://127.0.0.1:${this.restPort}`;
  }

  get grpcAddress(): string {
    return `127.0.0.1:${this.grpcPort}`;
  }

  get ports(): readonly number[] {
    return [this.restPort, this.grpcPort, this.pgPort, this.linkPort, this.pgPooledPort];
  }

  get key(): string {
    return readFileSync(join(this.home, "platform-key"), "utf8").trim();
  }

  /** Every directory the platform has been seen to use. */
  get roots(): readonly string[] {
    this.#roots = new Set([...this.#roots, ...rootsOf(this.home)]);
    return [...this.#roots];
  }

  get upPid(): number {
    const pid = this.#up?.pid;
    if (pid === undefined) throw new Error("The platform is not running.");
    return pid;
  }

  /** Starts `aerodb up` and waits until a tenant can be created. */
  async start(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    const { node, aerodb } = this.#options.program ?? { node: process.execPath, aerodb: AERODB };
    const words = [aerodb, "up", "--home", this.home, ...(this.#options.arguments ?? [])];
    const up = spawn(node, words, {
      cwd: REPOSITORY,
      env: { ...cleanEnvironment(), ...this.#environment(), ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    up.stdout.setEncoding("utf8").on("data", (text: string) => (this.output += text));
    up.stderr.setEncoding("utf8").on("data", (text: string) => (this.output += text));
    this.#up = up;
    if (this.#options.waitUntilReady !== false) await this.ready(START_MS);
  }

  /** Waits until readyz says that nothing is missing: then a tenant can be created. */
  async ready(ms = 30_000): Promise<void> {
    const found = await until(
      "readyz to say that nothing is missing",
      async () => {
        if (this.#up?.exitCode !== null) return "ended";
        return (await client.missesNothing(this.restUrl)) && "ready";
      },
      ms,
    );
    if (found === "ended") throw new Error("`aerodb up` ended, and was expected to be ready.");
  }

  request<Body = client.AnyBody>(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<client.Answer<Body>> {
    return client.request<Body>(this, method, path, { body, headers });
  }

  /** Creates a tenant that must come into being. */
  async createTenant(asked: {
    readonly name: string;
    readonly plan?: string;
    readonly isolation?: string;
    readonly labels?: Readonly<Record<string, string>>;
  }): Promise<client.Tenant> {
    const body = { plan: "free", ...asked };
    const answer = await this.request<client.Tenant>("POST", "/v1/tenants", body);
    expect(answer, `creating ${asked.name}`).toMatchObject({ status: 201 });
    return answer.body;
  }

  /** Every tenant the API lists. */
  async tenants(): Promise<client.Tenant[]> {
    const answer = await this.request("GET", "/v1/tenants?page_size=1000");
    expect(answer.status).toBe(200);
    return answer.body.tenants;
  }

  /** Connects like an application. What a test leaves open is closed with the platform. */
  async connect(uri: string, options?: pg.ClientConfig): Promise<pg.Client> {
    const connected = await client.connect(uri, options);
    this.#clients.push(connected);
    return connected;
  }

  pieces(): Pieces {
    return piecesOf(this.roots);
  }

  pids(piece: Piece): readonly number[] {
    if (piece === "up") return [this.upPid];
    const found = this.pieces()[piece];
    return "values" in found ? [...found.values()] : found;
  }

  /** `kill -9` of every process of that piece, or of one instance. Returns the pids. */
  kill(piece: Piece, instanceId?: string): readonly number[] {
    const chosen = instanceId === undefined ? undefined : this.pieces().instances.get(instanceId);
    const pids = chosen === undefined ? this.pids(piece) : [chosen];
    expect(pids, `processes of ${piece} to kill`).not.toHaveLength(0);
    for (const pid of pids) signal(pid, "SIGKILL");
    return pids;
  }

  /** Runs a verb of the CLI against this platform. */
  cli(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const environment = { AERODB_HOME: this.home, AERODB_URL: this.restUrl };
    return run(process.execPath, [AERODB, ...words], {
      ...options,
      environment: { ...environment, ...options.environment },
    });
  }

  /** What `aerodb doctor` finds wrong. */
  async doctor(): Promise<Finding[]> {
    const ended = await this.cli(["doctor", "--output", "json"]);
    try {
      const said = JSON.parse(ended.stdout);
      const findings: Finding[] = Array.isArray(said) ? said : said.findings;
      expect(ended.code, "exit code of doctor").toBe(findings.length === 0 ? 0 : 1);
      return findings;
    } catch (cause) {
      throw new Error(`doctor: ${ended.stdout}${ended.stderr}`, { cause });
    }
  }

  /** Waits until no tenant is being created or deleted any more. */
  async atRest(ms = 30_000): Promise<void> {
    await until(
      "no tenant to be creating or deleting",
      async () => {
        const moves = ["creating", "deleting"];
        const moving = (await this.tenants()).filter(({ status }) => moves.includes(status));
        if (moving.length === 0) return true;
        throw new Error(moving.map((tenant) => `${tenant.name} is ${tenant.status}`).join(", "));
      },
      ms,
    );
  }

  /** Waits until nothing is under way any more and there is nothing for the doctor to find. */
  async settled(ms = 30_000): Promise<void> {
    await this.ready(ms);
    await this.atRest(ms);
    await until(
      "nothing to be found",
      async () => {
        // What the doctor asks for and looks at itself, without a process for each time.
        const { body } = await this.request("GET", "/v1/diagnosis");
        const findings = [...body.findings, ...localFindings(realpathSync(this.home))];
        if (findings.length === 0) return true;
        throw new Error(JSON.stringify(findings, undefined, 2));
      },
      ms,
    );
  }

  /** Ctrl-C. Must end with code 0 within 10 s and leave no process and no port behind. */
  async stop(): Promise<void> {
    await this.#closeClients();
    const up = this.#up;
    if (up === undefined || up.exitCode !== null) throw new Error("`aerodb up` ended before.");
    const roots = this.roots;
    const began = monotonicMs();
    signal(this.upPid, "SIGINT");
    await until("`aerodb up` to end", () => up.exitCode !== null || up.signalCode !== null, 20_000);
    const tookMs = monotonicMs() - began;
    this.#up = undefined;
    expect(up.exitCode, "exit code of `aerodb up` after Ctrl-C").toBe(0);
    expect(tookMs, "how long Ctrl-C took").toBeLessThan(STOP_MS);
    expect((await lastingProcessesOf(roots)).map(described), "left behind").toEqual([]);
    for (const port of this.ports) expect(await isFree(port), `port ${port} to be free`).toBe(true);
  }

  /** `kill -9` of `up`. What it looked after is not looked after any more. */
  async killUp(): Promise<void> {
    const pid = this.upPid;
    signal(pid, "SIGKILL");
    await until("`aerodb up` to be dead", () => !lives(pid));
    this.#up = undefined;
  }

  async restart(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.#up !== undefined) await this.stop();
    await this.start(environment);
  }

  /** Removes all there is, however the test ended. */
  async destroy(): Promise<void> {
    await this.#closeClients();
    const roots = this.roots;
    this.#killEverything(roots);
    await until("the platform's processes to be gone", () => {
      this.#killEverything(roots);
      return processesOf(roots).length === 0;
    });
    // Volumes stay mounted without their servers, for the agent that comes next.
    for (const root of [...roots, this.#directory]) {
      await unmountUnder(root);
      rmSync(root, { recursive: true, force: true });
    }
    releasePorts(this.ports);
  }

  /** What `up` printed and the ends of the pieces' logs, for a test that failed. */
  report(): string {
    const directory = join(this.home, "logs");
    const logs = readNames(directory).map((name) => {
      const lines = readFileSync(join(directory, name), "utf8").trimEnd().split("\n");
      return `--- ${name}\n${lines.slice(-LOG_LINES).map(shortened).join("\n")}`;
    });
    return [`--- aerodb up\n${this.output}`, ...logs].join("\n");
  }

  #environment(): Record<string, string> {
    return {
      AERODB_REST_PORT: String(this.restPort),
      AERODB_GRPC_PORT: String(this.grpcPort),
      AERODB_PG_PORT: String(this.pgPort),
      AERODB_PG_POOLED_PORT: String(this.pgPooledPort),
      AERODB_LINK_PORT: String(this.linkPort),
      AERODB_AGENTS: String(this.#options.agents ?? 1),
      // Tests count servers and tell them apart; those that want some waiting say so.
      AERODB_WARM_INSTANCES: "0",
      ...this.#engines,
      ...this.#options.environment,
    };
  }

  async #closeClients(): Promise<void> {
    const open = this.#clients.splice(0);
    await Promise.all(open.map((each) => each.end().catch(() => undefined)));
  }

  #killEverything(roots: readonly string[]): void {
    const up = this.#up;
    if (up !== undefined && up.exitCode === null) up.kill("SIGKILL");
    for (const each of processesOf(roots)) signal(each.pid, "SIGKILL");
  }
}

/** Starts a platform. Whoever starts it destroys it; `usePlatform` does both. */
async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const platform = new Platform(await freePorts(5), options);
  try {
    await platform.start();
    return platform;
  } catch (error) {
    console.error(platform.report());
    await platform.destroy();
    throw error;
  }
}

/** One platform for all tests of a file. Shows what it said when one of them fails. */
export function usePlatform(options: PlatformOptions = {}): () => Platform {
  let platform: Platform | undefined;
  let failed = false;
  beforeAll(async () => {
    platform = await startPlatform(options);
  });
  afterEach(({ task }) => {
    if (task.result?.state === "fail") failed = true;
  });
  afterAll(async () => {
    if (failed) console.error(platform?.report());
    await platform?.destroy();
  });
  return () => {
    if (platform === undefined) throw new Error("The platform did not start.");
    return platform;
  };
}

/** A platform for the test that asks. */
export async function platformOfThisTest(options: PlatformOptions = {}): Promise<Platform> {
  const platform = await startPlatform(options);
  onTestFinished(async ({ task }) => {
    if (task.result?.state === "fail") console.error(platform.report());
    await platform.destroy();
  });
  return platform;
}

function described({ pid, arguments: words }: { pid: number; arguments: readonly string[] }) {
  return `${pid} ${words.join(" ")}`;
}

const shortened = (line: string) =>
  line.length > LOG_LINE_LENGTH ? `${line.slice(0, LOG_LINE_LENGTH)}…` : line;

function readNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

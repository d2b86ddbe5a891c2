/** A real agent in a process of its own, told what to run by a stand-in for control. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { saveIdentity, serverCredentials } from "@aerodb/identity";
import { openCertificateAuthority } from "@aerodb/identity/authority";
import { InstanceState } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { every, monotonicMs, newId, within } from "@aerodb/runtime";
import {
  ControlStandIn,
  type Heard,
  reports,
  wireInstance,
} from "../../agent/src/control-stand-in.ts";
import type { DesiredInstance } from "../../agent/src/desired.ts";
import { flagsOf, runtimeEnvironment, scriptOf } from "../../cli/src/up/piece-program.ts";
import { signal } from "../processes.ts";
import { cleanEnvironment } from "../program.ts";
import { until } from "../until.ts";

const START_MS = 60_000;
/** Control takes in what it is told twice a second or so. */
const ACKNOWLEDGE_MS = 500;
const UIDS = { base: 63_000_000, count: 1_000 };

export class BenchAgent {
  readonly home: string;
  readonly #control: ControlStandIn;
  readonly #over = new AbortController();
  /** When each instance was first heard to run since the agent was started. */
  readonly #runningAt = new Map<string, number>();
  readonly #walls = new Set<string>();
  #child: ChildProcess | undefined;
  #startedAt = 0;
  #samples = 0;

  private constructor(home: string, control: ControlStandIn) {
    this.home = home;
    this.#control = control;
    every(ACKNOWLEDGE_MS, () => this.#takeIn(), this.#over.signal);
  }

  /** An agent that has joined and was not started yet; `home` must let others through. */
  static async open(home: string): Promise<BenchAgent> {
    for (const path of [home, join(home, "identity")]) mkdirSync(path, { mode: 0o711 });
    const authority = await openCertificateAuthority(join(home, "..", "authority"));
    const ask = { dnsNames: [], ipAddresses: [], validForDays: 1 };
    const own = await authority.issue({ ...ask, peer: { kind: "control", id: "" } });
    const caCertificate = authority.certificate;
    const control = new ControlStandIn();
    const port = await control.listen(serverCredentials({ ...own, caCertificate }));
    const id = newId("hst");
    const issued = await authority.issue({ ...ask, peer: { kind: "host", id } });
    const identity = { ...issued, kind: "host", id, caCertificate } as const;
    saveIdentity(join(home, "identity"), { ...identity, linkAddress: `127.0.0.1:${port}` });
    return new BenchAgent(home, control);
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error("the agent does not run");
    return this.#child.pid;
  }

  /** Everything around the servers that was reported. */
  get walls(): readonly string[] {
    return [...this.#walls].toSorted();
  }

  /** How many samples it has sent. */
  get samples(): number {
    return this.#samples;
  }

  /** Starts it as `aerodb up` does, with flags of Node's own besides. */
  async start(flags: readonly string[] = []): Promise<void> {
    this.#runningAt.clear();
    this.#startedAt = monotonicMs();
    this.#child = fork(scriptOf("agent"), [], {
      execArgv: [...flagsOf("agent"), ...flags],
      env: {
        PATH: cleanEnvironment()["PATH"],
        ...runtimeEnvironment("agent"),
        AERODB_AGENT_HOME: this.home,
        AERODB_AGENT_API_ADDRESS: "127.0.0.1:1",
        AERODB_AGENT_UID_BASE: UIDS.base.toString(),
        AERODB_AGENT_UID_COUNT: UIDS.count.toString(),
        AERODB_AGENT_LOG_LEVEL: "error",
      },
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    await within({ ms: START_MS, expecting: "the agent to serve" }, once(this.#child, "message"));
  }

  /** Says what should be. */
  async desire(instances: readonly DesiredInstance[], generation: bigint): Promise<void> {
    await until("the agent to have dialled", () => this.#isConnected, START_MS);
    const value = { generation, whole: true, instances: instances.map(wireInstance) };
    this.#control.say({ case: "desired", value });
  }

  /** When each instance ran, in ms since the agent was started; waits for so many. */
  async running(count: number, ms: number): Promise<readonly number[]> {
    await until(
      `${count} instances to run`,
      () => {
        this.#takeIn();
        if (this.#runningAt.size >= count) return true;
        throw new Error(`${this.#runningAt.size} run`);
      },
      ms,
    );
    return [...this.#runningAt.values()].toSorted((a, b) => a - b);
  }

  /** `kill -9`; what it started goes on. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Lets it end by itself, so that it can write its profile. */
  async leave(): Promise<void> {
    await this.#end("SIGTERM");
  }

  close(): void {
    this.#over.abort();
    this.#control.close();
  }

  #isConnected = false;

  async #end(how: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    signal(this.pid, how);
    await within({ ms: START_MS, expecting: "the agent to end" }, exited);
    // What it said last is not said by the next.
    this.#control.heard.splice(0);
    this.#isConnected = false;
  }

  /** Reads what was said since, notes what runs, and acknowledges all of it. */
  #takeIn(): void {
    const heard = this.#control.heard.splice(0);
    if (heard.length === 0) return;
    if (heard.some((each) => each.case === "hello")) this.#isConnected = true;
    for (const { instances } of reports(heard)) {
      for (const { instanceId, state, walls } of instances) {
        for (const wall of walls) this.#walls.add(wall);
        if (state !== InstanceState.RUNNING || this.#runningAt.has(instanceId)) continue;
        this.#runningAt.set(instanceId, monotonicMs() - this.#startedAt);
      }
    }
    this.#acknowledge(heard);
  }

  #acknowledge(heard: readonly Heard[]): void {
    const samples = heard.flatMap((each) => (each.case === "samples" ? each.value.samples : []));
    const usage = heard.flatMap((each) => (each.case === "usage" ? each.value.events : []));
    const observedSequence = reports(heard).at(-1)?.sequence ?? 0n;
    const usageSequence = usage.at(-1)?.sequence ?? 0n;
    const sampleSequence = samples.at(-1)?.sequence ?? 0n;
    this.#samples += samples.length;
    const value = { observedSequence, usageSequence, sampleSequence };
    this.#control.say({ case: "acknowledgement", value });
  }
}

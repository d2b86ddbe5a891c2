/**
 * Removes what an audit has found to belong to nothing and an operator has confirmed. The agent
 * looks again: only what is still an orphan, is its own by its mark or its name, and stands where
 * the agent keeps such things is touched. Data of an instance is moved into the trash.
 */
import { lstat, readlink } from "node:fs/promises";
import { Fault, isId, messageOf } from "@aerodb/model";
import {
  type SweepReport,
  SweepReportSchema,
  type SweepRequest,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import {
  failpoint,
  identifyProcess,
  isAlive,
  type Logger,
  monotonicMs,
  type ProcessIdentity,
  signalProcess,
  sleep,
} from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import type { DesiredIntake } from "./desired-intake.ts";
import type { InstanceDriver, Survey } from "./drivers/driver.ts";
import { Gate } from "./gate.ts";
import type { HostState } from "./host-state.ts";
import { isOwnLeftover, type Layout, layoutOf, placeOf } from "./storage/layout.ts";
import { mountsUnder } from "./storage/mounts.ts";
import { carriesMark, putMark } from "./storage/own-mark.ts";
import { removeTree } from "./storage/remove-tree.ts";
import { purge, trashPath } from "./storage/set-aside.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";
import type { WarmInstances } from "./warm-instances.ts";

export interface SweepPorts {
  readonly home: string;
  readonly driver: InstanceDriver;
  readonly tenants: TenantKeeper;
  readonly state: HostState;
  readonly intake: DesiredIntake;
  readonly warm: Pick<WarmInstances, "holds">;
  readonly logger: Logger;
}

/** Nothing is begun after this, so that control hears of all before it stops to wait. */
const BEGIN_MS = 25_000;
/** What a process is sent, and how long it may take to heed: a server stops fast at the second. */
const SIGNALS = [
  ["SIGTERM", 1_000],
  ["SIGINT", 3_000],
  ["SIGKILL", 2_000],
] as const;
const LOOK_MS = 20;
const STOP_MS = 8_000;

const gone = "It is not there any more.";
const listed = "It is in the ledger of this host: it may be in use.";

/** One sweep after the other: the second finds what the first has left. */
const turns = new Gate(1);

/** Never rejects: what goes wrong is the reason why a thing is kept. */
export function sweep(ports: SweepPorts, request: SweepRequest): Promise<SweepReport> {
  return turns.pass(() => new Sweep(ports).run(request));
}

class Sweep {
  readonly #ports: SweepPorts;
  readonly #layout: Layout;
  readonly #deadlineMs = monotonicMs() + BEGIN_MS;
  readonly #removed: string[] = [];
  readonly #kept: { readonly subject: string; readonly reason: string }[] = [];

  constructor(ports: SweepPorts) {
    this.#ports = ports;
    this.#layout = layoutOf(ports.home);
  }

  async run(request: SweepRequest): Promise<SweepReport> {
    const { instanceIds, forgottenInstanceIds, pids, paths, trashPaths } = request;
    const { driver, home } = this.#ports;
    for (const id of instanceIds) await this.#try(id, () => this.#sweepInstance(id, false));
    for (const id of forgottenInstanceIds) await this.#try(id, () => this.#sweepInstance(id, true));
    // Looked at again: what belonged to an instance may belong to nothing now, and went with it.
    const survey = await driver.survey().catch(() => undefined);
    for (const pid of pids) await this.#try(`${pid}`, () => this.#sweepProcess(pid, survey));
    for (const path of paths) await this.#try(path, () => this.#sweepPath(path, survey));
    for (const path of trashPaths) await this.#try(path, () => purge(home, path));
    return create(SweepReportSchema, {
      sweepId: request.sweepId,
      removed: this.#removed,
      kept: this.#kept.map(({ reason }) => reason),
      keptSubjects: this.#kept.map(({ subject }) => subject),
    });
  }

  /** `act` resolves with why the thing is kept, or with undefined once it is gone. */
  async #try(subject: string, act: () => Promise<string | undefined>): Promise<void> {
    const reason = await this.#reasonOf(act);
    const { logger } = this.#ports;
    if (reason === undefined) this.#removed.push(subject);
    else this.#kept.push({ subject, reason });
    logger.info({ subject, kept: reason }, "swept");
  }

  async #reasonOf(act: () => Promise<string | undefined>): Promise<string | undefined> {
    if (monotonicMs() > this.#deadlineMs) return "There was no time left for it: sweep again.";
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof Fault)) this.#ports.logger.error({ err: error }, "a sweep failed");
      return `It could not be removed: ${messageOf(error)}`;
    }
  }

  /** Stops the server, if one runs, and sets the data aside. */
  async #sweepInstance(id: string, forgotten: boolean): Promise<string | undefined> {
    const { driver, state, tenants, intake, home, warm } = this.#ports;
    if (!isId("ins", id)) return `${JSON.stringify(id)} is no id of an instance.`;
    const found = (await driver.survey()).instances.find((each) => each.id === id);
    if (found === undefined) return gone;
    if (!forgotten && state.instance(id) !== undefined) return listed;
    if (warm.holds(id)) return "It waits for a tenant: the agent keeps it, and removes it itself.";
    if (!(await carriesMark(placeOf(this.#layout, id).directory, home))) return unmarked(id);

    if (forgotten) intake.drop(id);
    const running = state.seen(id)?.running;
    state.stopped(id); // Nobody wonders that its server ends.
    if (running !== undefined) await tenants.leave(running);
    await failpoint("agent.sweep.instance");
    await driver.stop(id, "fast", STOP_MS);
    await failpoint("agent.sweep.stopped");
    await driver.setAside(id, trashPath(home, id));
    state.destroyed(id);
    return undefined;
  }

  async #sweepProcess(pid: number, survey: Survey | undefined): Promise<string | undefined> {
    const identity = identifyProcess(pid);
    if (identity === undefined) return undefined;
    const stray = survey?.strayProcesses.find((each) => each.pid === pid);
    if (stray === undefined) return "It is no stray process of this host any more.";
    const stands = await readlink(`/proc/${pid}/cwd`).catch(() => "");
    const ours = stands === stray.directory && stands.startsWith(`${this.#layout.instances}/`);
    if (!ours) return "It does not work where this agent keeps its instances.";
    for (const [signal, waitMs] of SIGNALS) {
      signalProcess(identity, signal);
      if (await isGone(identity, waitMs)) return undefined;
    }
    return "It does not end: look what holds it.";
  }

  async #sweepPath(path: string, survey: Survey | undefined): Promise<string | undefined> {
    if ((await lstat(path).catch(() => undefined)) === undefined) return undefined;
    if (!isOwnLeftover(path, this.#layout)) return unmarked(path);
    if (survey?.strayPaths.includes(path) !== true) return "It belongs to something by now.";
    if ((await mountsUnder(path)).length > 0) {
      return `Something is mounted under ${path}: an agent that starts unmounts what is its own.`;
    }
    await failpoint("agent.sweep.path");
    await removeTree(path);
    return undefined;
  }
}

function unmarked(subject: string): string {
  return `${subject} does not carry the mark of this agent: look what it is and remove it by hand.`;
}

async function isGone(identity: ProcessIdentity, waitMs: number): Promise<boolean> {
  const deadlineMs = monotonicMs() + waitMs;
  while (isAlive(identity)) {
    if (monotonicMs() > deadlineMs) return false;
    await sleep(LOOK_MS);
  }
  return true;
}

/**
 * Marks what the ledger lists and an agent made before there were marks. Nothing else: what nobody
 * has ever ordered must not become ours by being found.
 */
export async function markListed(ports: Pick<SweepPorts, "home" | "state">): Promise<void> {
  const layout = layoutOf(ports.home);
  for (const id of ports.state.seenIds()) {
    if (ports.state.instance(id) === undefined) continue;
    const { directory } = placeOf(layout, id);
    const there = await lstat(directory).catch(() => undefined);
    if (there?.isDirectory()) await putMark(directory, ports.home);
  }
}

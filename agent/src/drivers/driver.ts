import type { InstanceId } from "@aerodb/model";
import type { AppliedSpec, InstanceSpec } from "../instance-spec.ts";

/** A server that accepts connections. It survives the agent. */
export interface RunningInstance {
  readonly id: InstanceId;
  readonly pid: number;
  readonly socketDirectory: string;
  /** Version it runs, for example `18.4`. */
  readonly engine: string;
  readonly systemIdentifier: bigint;
  /** Walls and limits in force around it, as `cgroup:memory`, `sandbox:unshare`, `storage:loop`. */
  readonly walls: readonly string[];
  /** Resolves once the server is gone. Never rejects. */
  readonly exited: Promise<void>;
}

/** An instance that has its data on the host; `running` when its server is up. */
export interface FoundInstance {
  readonly id: InstanceId;
  readonly running?: RunningInstance | undefined;
}

/** `smart` lets sessions end by themselves first, for a while, and lets nobody in meanwhile. */
export type StopMode = "smart" | "fast" | "immediate";

/**
 * What a server and all its processes used since it came up. A counter that the host does not keep
 * is undefined.
 */
export interface ResourceUsage {
  readonly cpuSeconds: number | undefined;
  /** Periods in which it wanted more processor time than its limit, and for how long. */
  readonly throttledPeriods: number | undefined;
  readonly throttledSeconds: number | undefined;
  readonly memoryBytes: number | undefined;
  /** Processes that the kernel ended because the memory limit was reached. */
  readonly oomKills: number | undefined;
  readonly processes: number | undefined;
  readonly readBytes: number | undefined;
  readonly writtenBytes: number | undefined;
}

/** Of a server that nothing is known of. */
export const UNKNOWN_USAGE: ResourceUsage = {
  cpuSeconds: undefined,
  throttledPeriods: undefined,
  throttledSeconds: undefined,
  memoryBytes: undefined,
  oomKills: undefined,
  processes: undefined,
  readBytes: undefined,
  writtenBytes: undefined,
};

/** A part of a log: whole lines, oldest first, and where the next part begins. */
export interface LogPart {
  readonly text: string;
  readonly cursor: string;
}

/** Everything that is really there, whether anybody wanted it or not. */
export interface Survey {
  readonly instances: readonly { readonly id: InstanceId; readonly postmasterPid: number }[];
  readonly strayProcesses: readonly { readonly pid: number; readonly directory: string }[];
  readonly strayPaths: readonly string[];
}

/** What a driver keeps beside an instance about the server that runs it. Safe to repeat. */
export interface InstanceRecords {
  /** Writes what the server reads when it starts, and when it is told to read again. */
  configure(spec: InstanceSpec): Promise<void>;

  /**
   * What the running server was started with, or brought to since; undefined when that is not
   * known. Noted before each start, and by whoever brings it to something else.
   */
  applied(id: InstanceId): Promise<AppliedSpec | undefined>;

  /** Survives the agent. */
  note(id: InstanceId, applied: AppliedSpec): Promise<void>;

  /** Changes whenever something is written to the databases; had without asking the server. */
  writeMark(id: InstanceId): Promise<string>;
}

/**
 * What an agent asks of whatever runs Postgres on its host: plain processes, containers, or the
 * fake used in tests.
 *
 * Every method is safe to repeat. The agent may die at any await, and will call again without
 * knowing how far it got. For one instance the caller asks for one thing at a time.
 */
export interface InstanceDriver {
  readonly name: string;
  readonly records: InstanceRecords;

  /**
   * Removes what an earlier agent left half made or half destroyed, and nothing of an instance that
   * has served somebody. Called once, before all else.
   */
  recover(served?: Pick<ReadonlySet<InstanceId>, "has">): Promise<void>;

  /** Makes ready what the first instance of a major would wait for. */
  prepare(major: number): Promise<void>;

  /** Every instance with data on the host, servers that an earlier agent started included. */
  list(): Promise<readonly FoundInstance[]>;

  /** Makes the data of a new instance, whole or not at all. Does nothing when it is there. */
  make(spec: InstanceSpec, signal: AbortSignal): Promise<void>;

  /** Resolves once the server accepts connections. Adopts a running one; never starts a second. */
  start(spec: InstanceSpec, signal: AbortSignal): Promise<RunningInstance>;

  /**
   * Stops the server and keeps its data. Resolves at once when nothing runs. A server that does not
   * heed is stopped less gently, so that it is down by the deadline; with `smart` that begins when
   * sessions have left, or `SESSIONS_LEAVE_MS` were over.
   */
  stop(id: InstanceId, mode: StopMode, deadlineMs?: number): Promise<void>;

  /**
   * Brings the limits of a running server in line: processor, memory, processes, storage. Returns
   * the names of what waits for a restart. Settings of Postgres are none of its business: they are
   * written by `records.configure`, and the server is told by a session.
   */
  resize(instance: RunningInstance, spec: InstanceSpec): Promise<readonly string[]>;

  /**
   * What a running server used since it came up. Of one that has hardly used the processor since
   * `known` was read, all but processor time and the number of processes may be as it was then.
   */
  usage(instance: RunningInstance, known?: ResourceUsage): Promise<ResourceUsage>;

  /**
   * Has the process of a session, `pid` as the host counts, give way to everybody else's wherever
   * the processor is wanted, until what is returned is called, or it would get none of it.
   * Undefined where the host cannot, or the process is not the instance's.
   */
  giveWay(instance: RunningInstance, pid: number): Promise<(() => Promise<void>) | undefined>;

  /** Removes all that there is of a stopped instance. Refused while its server runs. */
  destroy(id: InstanceId): Promise<void>;

  /**
   * Like `destroy`, but the data is moved to a path on the same file system instead of removed.
   * Nothing is moved when it is not there any more.
   */
  setAside(id: InstanceId, to: string): Promise<void>;

  /** The last lines a server wrote to its log; empty when it wrote none within that time. */
  lastWords(id: InstanceId, withinMs: number): Promise<string>;

  /**
   * A part of a log of at most so many bytes: after a cursor that an earlier part named, else the
   * end. A cursor into what was rotated away goes on with the oldest there is.
   */
  log(
    id: InstanceId,
    options: { readonly cursor: string; readonly bytes: number },
  ): Promise<LogPart>;

  /** Bytes of the databases in an instance, from the sizes of files; undefined when it has none. */
  storageBytes(id: InstanceId): Promise<bigint | undefined>;

  survey(): Promise<Survey>;

  /** What can still be written to the volume that holds an instance; undefined when none does. */
  volumeFreeBytes(id: InstanceId): Promise<number | undefined>;

  /** Gives a full volume its ballast to delete and vacuum in. Returns how many bytes that gave. */
  releaseBallast(id: InstanceId): Promise<number>;

  /** Takes that back once there is enough room again. Returns whether the ballast is whole. */
  restoreBallast(id: InstanceId): Promise<boolean>;

  /**
   * Gives back what stopped instances hold of the machine, as mounts. Called last when the host
   * shuts down; a start takes it again.
   */
  release(): Promise<void>;
}

/**
 * The walls around instances' servers: control groups, a sandbox, limits of their processes, and no
 * new privileges. What this machine cannot raise is left out, and `wallsOf` says what is there.
 */
import { mkdir, readFile, readlink, realpath, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { InstanceId } from "@aerodb/model";
import type { Enclosure, Engine, Owner } from "@aerodb/postgres";
import { identifyProcess } from "@aerodb/runtime";
import type { InstanceSpec } from "../instance-spec.ts";
import type { ControlGroups, GroupUsage } from "./control-groups.ts";
import { type GivingWay, giveWay } from "./giving-way.ts";
import { backendMemoryBytes, groupLimitsOf } from "./group-limits.ts";
import { launchWords, mountLines, type SandboxKind } from "./launch-words.ts";
import { openControlGroups } from "./open-control-groups.ts";
import { limitMemory, sparesServer } from "./process-limits.ts";
import { findSandbox } from "./sandbox.ts";
import { layFloor, systemDirectories } from "./sandbox-view.ts";

/** An instance's server that is about to be started. */
export interface Enclosed {
  readonly spec: InstanceSpec;
  readonly engine: Engine;
  readonly owner: Owner | undefined;
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  /** Other directories that it writes to: the volume of its tenants. */
  readonly space: readonly string[];
  /** Where the instance's own files are, which the server does not see. */
  readonly directory: string;
}

/** What there is to raise, found out once. */
interface Means {
  readonly groups: ControlGroups | undefined;
  readonly sandbox: SandboxKind;
  readonly system: readonly string[];
}

/** Processes that were killed leave their group a moment later. */
const EMPTYING_MS = 2_000;

/** Whoever looks for a server needs to know where its launch notes which process it is. */
export function pidFileOf(directory: string): string {
  return join(directory, "server.pid");
}

export class Walls {
  readonly #home: string;
  readonly #wanted: SandboxKind | undefined;
  readonly #floors = new Map<string, Promise<string>>();
  #means: Promise<Means> | undefined;

  /** `sandbox`: this kind and no other; the best that works when left out. */
  constructor(options: { readonly home: string; readonly sandbox?: SandboxKind | undefined }) {
    this.#home = options.home;
    this.#wanted = options.sandbox;
  }

  /** Makes the group of a server that is about to be started, or brings it in line. */
  async prepare(spec: InstanceSpec): Promise<void> {
    await (await this.#find()).groups?.make(spec.id, groupLimitsOf(spec));
  }

  /**
   * Makes a server's view; call `prepare` before. What it returns starts the server inside them.
   */
  async enclose(enclosed: Enclosed): Promise<Enclosure> {
    const { spec, owner, directory } = enclosed;
    const { groups, sandbox, system } = await this.#find();
    const dataDirectory = await realpath(enclosed.dataDirectory);
    const paths = [dataDirectory, enclosed.socketDirectory, ...enclosed.space];
    const engine = dirname(enclosed.engine.binDirectory);
    const floor = sandbox === "none" ? "" : await this.#layFloor([engine, ...paths]);
    const view = {
      home: this.#home,
      floor,
      system,
      readOnly: [engine],
      writable: paths,
      sharedMemoryMiB: spec.memoryMiB,
    };
    const pidFile = pidFileOf(directory);
    const mountsFile = join(directory, "mounts");
    if (sandbox === "unshare") await writeFile(mountsFile, mountLines({ view, owner }));
    await mkdir(enclosed.socketDirectory, { recursive: true, mode: 0o700 });
    const launch = {
      dataDirectory,
      owner,
      joinFiles: groups?.joinFiles(spec.id) ?? [],
      backendMemoryBytes: backendMemoryBytes(spec),
      view,
      pidFile,
      mountsFile,
    };
    return {
      wrap: (server) => launchWords(sandbox, { ...launch, server }),
      pidFile: sandbox === "none" ? undefined : pidFile,
    };
  }

  /** Brings the limits of a running server in line with a spec. */
  async resize(spec: InstanceSpec, pid: number): Promise<void> {
    const { groups } = await this.#find();
    const held = (await groups?.holding(spec.id, pid)) ?? [];
    await Promise.all([
      held.length > 0 ? groups?.make(spec.id, groupLimitsOf(spec)) : undefined,
      limitMemory(pid, backendMemoryBytes(spec)),
    ]);
  }

  /**
   * Undefined when the server is in no group of ours. Who knows what it used has looked that up.
   */
  async usage(id: InstanceId, pid: number, known?: GroupUsage): Promise<GroupUsage | undefined> {
    const { groups } = await this.#find();
    if (known?.cpuSeconds !== undefined) return groups?.usage(id, known);
    const held = (await groups?.holding(id, pid)) ?? [];
    return held.length === 0 ? undefined : groups?.usage(id);
  }

  /** Undefined where a process of a server is in no group of ours. */
  async giveWay(id: InstanceId, pid: number): Promise<GivingWay | undefined> {
    const { groups } = await this.#find();
    const backend = identifyProcess(pid);
    if (groups === undefined || backend === undefined) return undefined;
    return giveWay(groups, id, backend);
  }

  /** What is really around a process, whoever started it. */
  async wallsOf(id: InstanceId, pid: number, directory: string): Promise<readonly string[]> {
    const { groups } = await this.#find();
    const held = (await groups?.holding(id, pid)) ?? [];
    const [sandboxed, network, user, data, spared] = await Promise.all([
      isApart(pid, "mnt"),
      isApart(pid, "net"),
      userOf(pid),
      limitsData(pid),
      sparesServer(pid),
    ]);
    const note = sandboxed ? await readFile(pidFileOf(directory), "latin1").catch(() => "") : "";
    const kind = note.startsWith("{") ? "bubblewrap" : "unshare";
    return [
      ...(user === undefined || user === process.geteuid?.() ? [] : ["user"]),
      ...held.filter((controller) => controller !== "io").map((name) => `cgroup:${name}`),
      ...(data ? ["backend:memory"] : []),
      ...(spared ? ["oom:backends"] : []),
      ...(sandboxed ? [`sandbox:${kind}`] : []),
      ...(network ? ["network:none"] : []),
    ];
  }

  /**
   * Removes what is kept for a server that ended, and ends what it left behind: one that hid, too.
   * Returns whether nobody of it is left, as far as groups tell.
   */
  async release(id: InstanceId): Promise<boolean> {
    const { groups } = await this.#find();
    if (groups === undefined || (await groups.remove(id, EMPTYING_MS))) return true;
    await groups.end(id, EMPTYING_MS);
    return groups.remove(id, EMPTYING_MS);
  }

  /** Removes the groups of this home that hold nobody, as an earlier agent may have left them. */
  async sweep(): Promise<void> {
    const { groups } = await this.#find();
    if (groups === undefined) return;
    await Promise.all((await groups.names()).map((name) => groups.remove(name, 0)));
  }

  /** Once for all instances, as long as what they see of the machine begins with the same names. */
  #layFloor(paths: readonly string[]): Promise<string> {
    const tops = [...new Set(paths.map((path) => path.split("/")[1]))].toSorted().join("/");
    const known = this.#floors.get(tops);
    if (known !== undefined) return known;
    const laying = layFloor(this.#home, paths);
    this.#floors.set(tops, laying);
    laying.catch(() => this.#floors.delete(tops));
    return laying;
  }

  #find(): Promise<Means> {
    this.#means ??= this.#detect();
    return this.#means;
  }

  async #detect(): Promise<Means> {
    const [groups, sandbox, system] = await Promise.all([
      openControlGroups(this.#home),
      this.#wanted ?? findSandbox(this.#home),
      systemDirectories(),
    ]);
    return { groups, sandbox, system };
  }
}

/** Whether a process is in another namespace of a kind than this one. */
async function isApart(pid: number, kind: "mnt" | "net"): Promise<boolean> {
  const [theirs, ours] = await Promise.all(
    [pid, "self"].map((which) => readlink(`/proc/${which}/ns/${kind}`).catch(() => undefined)),
  );
  return theirs !== undefined && theirs !== ours;
}

async function userOf(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "");
  const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1];
  return uid === undefined ? undefined : Number(uid);
}

async function limitsData(pid: number): Promise<boolean> {
  const limits = await readFile(`/proc/${pid}/limits`, "latin1").catch(() => "");
  return /^Max data size +\d/m.test(limits);
}

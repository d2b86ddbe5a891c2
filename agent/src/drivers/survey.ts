/** What is really on the host, from the directories and from /proc, whatever anybody remembers. */
import { readlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { InstanceId } from "@aerodb/model";
import { readPostmasterFile } from "@aerodb/postgres";
import { readProcessStat } from "@aerodb/runtime";
import { entriesOf } from "../storage/file-sizes.ts";
import { type Layout, placeOf, readEntry, shortNameOf } from "../storage/layout.ts";
import { findStrayVolumes } from "../storage/stray-volumes.ts";
import { PROBE_PREFIX } from "../storage/volume-means.ts";
import type { Survey } from "./driver.ts";

interface FoundProcess {
  readonly pid: number;
  readonly parentPid: number;
  readonly program: string;
  readonly directory: string;
}

/** `working`: instances that are being made or destroyed now, whose leftovers are none. */
export async function takeSurvey(
  layout: Layout,
  working: ReadonlySet<InstanceId>,
): Promise<Survey> {
  const processes = await processesUnder(layout.instances);
  const found = await entriesOf(layout.instances);
  const names = found.filter((name) => !name.startsWith(PROBE_PREFIX));
  const entries = names.map((name) => ({ name, entry: readEntry(name) }));
  const ids = entries.flatMap(({ entry }) => (entry?.kind === "instance" ? [entry.id] : []));
  const known = new Set([...ids, ...working]);

  const instances = [];
  const strangers: FoundProcess[] = [];
  for (const id of ids) {
    const inside = processes.filter(({ directory }) => directory === placeOf(layout, id).data);
    const postmasterPid = await postmasterOf(placeOf(layout, id).data, inside);
    instances.push({ id, postmasterPid });
    const waiting = inside.find(({ pid }) => pid === postmasterPid)?.parentPid;
    strangers.push(
      ...inside.filter((each) => !belongsTo(each, postmasterPid) && each.pid !== waiting),
    );
  }
  const leftovers = entries
    .filter(({ entry }) => entry === undefined || !known.has(entry.id))
    .map(({ name }) => join(layout.instances, name));
  const shortNames = new Set([...known].map(shortNameOf));
  const sockets = (await entriesOf(layout.run))
    .filter((name) => !shortNames.has(name))
    .map((name) => join(layout.run, name));
  const { mounts, devices } = await findStrayVolumes(layout, known);
  return {
    instances,
    strayProcesses: [
      ...processes.filter(({ directory }) => !isKnown(directory, known)),
      ...strangers,
    ].map(({ pid, directory }) => ({ pid, directory })),
    strayPaths: [...leftovers, ...sockets, ...mounts, ...devices],
  };
}

function isKnown(directory: string, known: ReadonlySet<InstanceId>): boolean {
  const entry = readEntry(basename(dirname(directory)));
  return basename(directory) === "data" && entry !== undefined && known.has(entry.id);
}

/** A server that starts is not yet named by its directory: then nobody is a stranger. */
function belongsTo({ pid, parentPid }: FoundProcess, postmasterPid: number): boolean {
  return postmasterPid === 0 || pid === postmasterPid || parentPid === postmasterPid;
}

/**
 * Every process of a server works in its data directory; the file there names the first of them.
 * In a sandbox that is 1: there it is the one whose parent is none of them. The parent may be the
 * program that made the sandbox, where the agent died before it could end that one. `inside`: the
 * processes that work there.
 */
async function postmasterOf(data: string, inside: readonly FoundProcess[]): Promise<number> {
  const pids = inside.map(({ pid }) => pid);
  // What the server put there instead of a file would not be read through, or never end.
  const named = (await readPostmasterFile(data).catch(() => undefined))?.pid;
  const servers = inside.filter(({ program }) => program === "postgres");
  const first = servers.find(({ parentPid }) => !servers.some(({ pid }) => pid === parentPid));
  return pids.find((pid) => pid === named) ?? first?.pid ?? 0;
}

async function processesUnder(instances: string): Promise<readonly FoundProcess[]> {
  const pids = (await entriesOf("/proc")).filter((name) => /^\d+$/.test(name));
  const found: FoundProcess[] = [];
  for (const pid of pids) {
    const directory = await readlink(`/proc/${pid}/cwd`).catch(() => "");
    if (!directory.startsWith(`${instances}/`)) continue;
    const { program = "", parentPid = 0 } = readProcessStat(pid) ?? {};
    found.push({ pid: Number(pid), program, parentPid, directory });
  }
  return found;
}

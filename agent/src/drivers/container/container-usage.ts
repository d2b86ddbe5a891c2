/**
 * What a container used, read from the files of its control group: Docker's own statistics take a
 * second to ask for.
 */
import { groupsOf, type Mount, mountsOf, seenDirectoryOf } from "../../limits/group-files.ts";
import { type Tree, usageV1 } from "../../limits/groups-v1.ts";
import { usageV2 } from "../../limits/groups-v2.ts";
import { type ResourceUsage, type RunningInstance, UNKNOWN_USAGE } from "../driver.ts";

type Groups = ReadonlyMap<string, string>;

export class ContainerCounters {
  /** Where control groups are seen: read once, for every container adds mounts to that list. */
  #mounts: Promise<readonly Mount[]> | undefined;
  readonly #groups = new WeakMap<RunningInstance, Groups>();

  /** Unknown once it is gone, and where its groups are not seen from here. */
  async usage(running: RunningInstance, known?: ResourceUsage): Promise<ResourceUsage> {
    this.#mounts ??= mountsOf({});
    const [mounts, groups] = await Promise.all([this.#mounts, this.#groupsOf(running, known)]);
    if (groups.size === 0) return UNKNOWN_USAGE;
    const trees = mounts.filter(({ type }) => type === "cgroup");
    function groupIn(tree: Tree): string | undefined {
      const mount = trees.find(({ options }) => options.includes(tree));
      return seenDirectoryOf(mount, groups.get(tree));
    }
    if (groupIn("memory") !== undefined) return usageV1(groupIn, known);
    const unified = mounts.find(({ type }) => type === "cgroup2");
    const directory = seenDirectoryOf(unified, groups.get(""));
    return directory === undefined ? UNKNOWN_USAGE : usageV2(directory, known);
  }

  /** Who knows what it used has looked that up. */
  async #groupsOf(running: RunningInstance, known: ResourceUsage | undefined): Promise<Groups> {
    const before = known === undefined ? undefined : this.#groups.get(running);
    if (before !== undefined) return before;
    const groups = await groupsOf(`/proc/${running.pid}/cgroup`);
    this.#groups.set(running, groups);
    return groups;
  }
}

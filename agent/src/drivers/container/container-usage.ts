/**
 * What a container used, read from the files of its control group: Docker's own statistics take a
 * second to ask for.
 */
import { directoryOf, groupsOf, mountsOf } from "../../limits/group-files.ts";
import { type Tree, usageV1 } from "../../limits/groups-v1.ts";
import { usageV2 } from "../../limits/groups-v2.ts";
import { type ResourceUsage, UNKNOWN_USAGE } from "../driver.ts";

/** Of the container whose first process has this pid on the host; unknown once it is gone. */
export async function containerUsage(pid: number, known?: ResourceUsage): Promise<ResourceUsage> {
  const [mounts, groups] = await Promise.all([mountsOf({}), groupsOf(`/proc/${pid}/cgroup`)]);
  if (groups.size === 0) return UNKNOWN_USAGE;
  const trees = mounts.filter(({ type }) => type === "cgroup");
  function groupIn(tree: Tree): string | undefined {
    const mount = trees.find(({ options }) => options.includes(tree));
    const group = groups.get(tree);
    if (mount === undefined || group === undefined) return undefined;
    return directoryOf(mount, group);
  }
  if (groupIn("memory") !== undefined) return usageV1(groupIn, known);
  const unified = mounts.find(({ type }) => type === "cgroup2");
  const group = groups.get("");
  if (unified === undefined || group === undefined) return UNKNOWN_USAGE;
  return usageV2(directoryOf(unified, group), known);
}

import type { ControlGroups } from "./control-groups.ts";
import type { GroupRoots } from "./group-files.ts";
import { openGroupsV1 } from "./groups-v1.ts";
import { openGroupsV2 } from "./groups-v2.ts";

/**
 * The control groups that this process can make, found by trying: of the first version, where its
 * controllers are, else of the second. `home` tells the groups of one agent from another's.
 */
export async function openControlGroups(
  home: string,
  roots: GroupRoots = {},
): Promise<ControlGroups | undefined> {
  return (await openGroupsV1(home, roots)) ?? (await openGroupsV2(home, roots));
}

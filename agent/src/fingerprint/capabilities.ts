import { CAPABILITIES, type Capability } from "@aerodb/model";

/** What was found out that capabilities follow from. */
export interface Grounds {
  readonly driver: "process" | "container";
  readonly reflink: boolean;
  readonly hardLimits: readonly string[];
  /** Controllers of control groups that the agent can write. */
  readonly controllers: readonly string[];
  readonly sandbox: string;
  readonly nftables: boolean;
  /** Whether instances run as users of their own. */
  readonly ownUsers: boolean;
  /** Limits of a container; undefined when no Docker engine answers. */
  readonly containerLimits: readonly string[] | undefined;
}

/** What placements may ask for: what holds for instances as this host runs them. */
export function capabilitiesOf(grounds: Grounds): readonly Capability[] {
  const { driver, controllers, containerLimits, sandbox } = grounds;
  const inContainers = driver === "container";
  const walled = inContainers ? containerLimits !== undefined : sandbox !== "none";
  function limits(controller: string): boolean {
    if (inContainers) return containerLimits?.includes(`${controller}_limit`) ?? false;
    return controllers.includes(controller);
  }
  const has: Readonly<Record<Capability, boolean>> = {
    reflink: grounds.reflink,
    hard_storage_limit: grounds.hardLimits.length > 0,
    cpu_limit: limits("cpu"),
    memory_limit: limits("memory"),
    pids_limit: limits("pids"),
    sandbox: walled,
    // Every sandbox has a network of its own, with nothing in it.
    network_wall: walled,
    process_user: grounds.ownUsers,
    containers: containerLimits !== undefined,
    nftables: grounds.nftables,
  };
  return CAPABILITIES.filter((each) => has[each]);
}

/**
 * What a host can do beyond running Postgres at all. Agents find out which their host has; a plan
 * may require some, and then its tenants are placed on hosts that have them.
 */
export const CAPABILITIES = [
  "reflink", // Cloning a file shares its blocks.
  "hard_storage_limit", // The kernel refuses what goes over an instance's storage.
  "cpu_limit",
  "memory_limit",
  "pids_limit",
  "sandbox", // Instances see nothing of the host but what they need.
  "network_wall", // Instances reach no network.
  "process_user", // Each instance runs as a user of its own.
  "containers",
  "nftables",
] as const;

export type Capability = (typeof CAPABILITIES)[number];

export function isCapability(text: string): text is Capability {
  return CAPABILITIES.some((known) => known === text);
}

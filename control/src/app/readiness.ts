import { messageOf } from "@aerodb/model";
import { within } from "@aerodb/runtime";
import { SHARED_INSTANCE } from "../scheduler/ask.ts";
import { chooseHost, chooseSharedInstance } from "../scheduler/choose.ts";
import { listRegions } from "../store/regions.ts";
import { readBackground } from "../store/tenant-background.ts";
import type { Control } from "./control.ts";

export interface Readiness {
  readonly ready: boolean;
  /** Why not, a sentence each. */
  readonly reasons: readonly string[];
}

const DEADLINE_MS = 2_000;

/** Whether a tenant can be created now. Never throws: a catalogue that is away is a reason. */
export async function checkReadiness(control: Control): Promise<Readiness> {
  try {
    const wait = { ms: DEADLINE_MS, expecting: "the catalogue to answer" };
    const reasons = await within(wait, reasonsAgainst(control));
    return { ready: reasons.length === 0, reasons };
  } catch (error) {
    return { ready: false, reasons: [messageOf(error)] };
  }
}

/** Empty as soon as one region can take the smallest tenant; else a sentence for each region. */
async function reasonsAgainst(control: Control): Promise<readonly string[]> {
  const regions = await listRegions(control.database);
  if (regions.length === 0) return ["No host has joined: there is no region yet."];
  const reasons: string[] = [];
  for (const { name } of regions) {
    const query = { name: "", plan: "", region: name, principal: "", requestId: null };
    const { hosts, sharedInstances } = await readBackground(control.database, query);
    if (chooseSharedInstance(sharedInstances, hosts) !== undefined) return [];
    const choice = chooseHost(hosts, {
      isolation: "schema",
      ...SHARED_INSTANCE,
      requiredCapabilities: [],
    });
    if (choice.kind === "chosen") return [];
    reasons.push(`No host of the region ${name} can take a tenant. ${choice.summary}.`);
  }
  return reasons;
}

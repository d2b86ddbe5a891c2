/** Finds a tenant its place and writes it there, again when others took the place meanwhile. */
import type { Db } from "@aerodb/db";
import { Fault, type HostId, type InstanceId } from "@aerodb/model";
import { newId } from "@aerodb/runtime";
import { type Ask, CPU_OVERCOMMIT, SHARED_INSTANCE } from "../scheduler/ask.ts";
import { chooseHost, chooseSharedInstance } from "../scheduler/choose.ts";
import {
  type BackgroundQuery,
  readBackground,
  type TenantBackground,
} from "../store/tenant-background.ts";
import {
  insertTenant,
  lockSharedPlacement,
  type NewInstance,
  type TenantInsert,
} from "../store/tenant-create.ts";
import type { Control } from "./control.ts";
import type { Terms } from "./tenant-request.ts";

const MAX_TRIES = 5;

/** Where a tenant goes. */
export interface Place {
  readonly instanceId: InstanceId;
  readonly hostId: HostId;
  readonly newInstance: NewInstance | undefined;
}

export interface Placing {
  readonly terms: Terms;
  readonly query: BackgroundQuery;
  readonly background: TenantBackground;
  readonly tenant: Omit<TenantInsert, keyof Place>;
}

/** Writes the tenant. NO_FEASIBLE_HOST when there is no place, and then nothing is written. */
export async function placeTenant(control: Control, placing: Placing): Promise<void> {
  const { query, tenant, terms } = placing;
  let { background } = placing;
  for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
    const place = choosePlace(terms, background);
    const placed = place.newInstance?.shared
      ? await placeInNewShared(control, placing)
      : await insertTenant(control.database, { ...tenant, ...place });
    if (placed) return;
    background = await readBackground(control.database, query);
  }
  throw new Fault("UNAVAILABLE", "Others took every place that was chosen: try again.");
}

/** One at a time in a region: who waited finds the instance that the one before made. */
function placeInNewShared(control: Control, placing: Placing): Promise<boolean> {
  const { query, tenant, terms } = placing;
  return control.database.transaction(async (db: Db) => {
    await lockSharedPlacement(db, terms.region);
    const background = await readBackground(db, query);
    return insertTenant(db, { ...tenant, ...choosePlace(terms, background) });
  });
}

function choosePlace(terms: Terms, background: TenantBackground): Place {
  const shared = terms.isolation === "schema";
  if (shared) {
    const instance = chooseSharedInstance(
      background.sharedInstances,
      background.hosts,
      terms.plan.requiredCapabilities,
    );
    if (instance !== undefined) {
      return { instanceId: instance.id, hostId: instance.hostId, newInstance: undefined };
    }
  }
  const ask = askOf(terms);
  const choice = chooseHost(background.hosts, ask);
  if (choice.kind === "refused") {
    throw new Fault("NO_FEASIBLE_HOST", `No host can take the tenant. ${choice.summary}.`, {
      details: {
        hosts: choice.hosts.map(({ hostId, name, refusal }) => ({
          host_id: hostId,
          host: name,
          reason: refusal.sentence,
        })),
      },
    });
  }
  return {
    instanceId: newId("ins"),
    hostId: choice.host.id,
    newInstance: {
      shared,
      engineMajor: choice.engineMajor,
      maxConnections: shared ? SHARED_INSTANCE.maxConnections : terms.plan.connectionLimit,
      maxTenants: shared ? SHARED_INSTANCE.maxTenants : 1,
      memoryMiB: ask.memoryMiB,
      cpuMillis: ask.cpuMillis,
      storageMiB: ask.storageMiB,
      pidsLimit: shared ? SHARED_INSTANCE.pidsLimit : terms.plan.pidsLimit,
      importance: shared ? SHARED_INSTANCE.importance : terms.plan.importance,
      cpuOvercommit: CPU_OVERCOMMIT,
      reason: choice.reason,
    },
  };
}

function askOf({ isolation, plan }: Terms): Ask {
  const { memoryMiB, cpuMillis, storageMiB } = isolation === "schema" ? SHARED_INSTANCE : plan;
  const { requiredCapabilities } = plan;
  return { isolation, memoryMiB, cpuMillis, storageMiB, requiredCapabilities };
}

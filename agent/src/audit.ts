/** Answers control's question what is really on the host, ledger or no ledger. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "@aerodb/model";
import {
  type AuditedTenant,
  AuditedTenantSchema,
  type AuditReport,
  AuditReportSchema,
} from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import type { Logger } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import type { InstanceDriver } from "./drivers/driver.ts";
import { isOwnEntry } from "./home.ts";
import type { HostState } from "./host-state.ts";
import { isOwnLeftover, layoutOf, placeOf } from "./storage/layout.ts";
import { carriesMark } from "./storage/own-mark.ts";
import { foreignMountIn, listTrash } from "./storage/set-aside.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";
import type { WarmInstances } from "./warm-instances.ts";

export interface AuditPorts {
  readonly home: string;
  readonly driver: InstanceDriver;
  readonly tenants: TenantKeeper;
  readonly state: HostState;
  readonly warm: Pick<WarmInstances, "holds">;
  readonly logger: Logger;
}

export async function takeAudit(ports: AuditPorts, auditId: bigint): Promise<AuditReport> {
  const { driver, state, home, warm } = ports;
  const [survey, entries] = await Promise.all([driver.survey(), readdir(home)]);
  const others = entries.filter((name) => !isOwnEntry(name)).map((name) => join(home, name));
  const strayPaths = [...survey.strayPaths, ...others];
  const layout = layoutOf(home);
  const { tenants, unreadable } = await auditTenants(ports);
  return create(AuditReportSchema, {
    auditId,
    // Those that wait for a tenant are the agent's own affair: it made them and removes them.
    instances: await Promise.all(
      survey.instances
        .filter(({ id }) => !warm.holds(id))
        .map(async ({ id, postmasterPid }) => ({
          instanceId: id,
          postmasterPid,
          listed: state.instance(id) !== undefined,
          unreadable: unreadable.get(id) ?? "",
          foreign: await isForeign(placeOf(layout, id).directory, home),
        })),
    ),
    tenants,
    strayProcesses: [...survey.strayProcesses],
    strayPaths,
    foreignPaths: strayPaths.filter((path) => !isOwnLeftover(path, layout)),
    trashPaths: [...(await listTrash(home))],
  });
}

/** Whether a sweep leaves a directory alone: it is not, or not only, what this agent has made. */
async function isForeign(directory: string, home: string): Promise<boolean> {
  if (!(await carriesMark(directory, home))) return true;
  return (await foreignMountIn(directory)) !== undefined;
}

interface AuditedTenants {
  readonly tenants: AuditedTenant[];
  /** Why the instance could not be read, by its id. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/** One instance after the other: an audit must not be felt. */
async function auditTenants(ports: AuditPorts): Promise<AuditedTenants> {
  const { state, tenants: keeper, logger } = ports;
  const tenants: AuditedTenant[] = [];
  const unreadable = new Map<string, string>();
  for (const id of [...state.seenIds()]) {
    const running = state.seen(id)?.running;
    if (running === undefined) continue;
    try {
      for (const { tenantId, role, schema } of await keeper.list(running)) {
        tenants.push(create(AuditedTenantSchema, { tenantId, instanceId: id, role, schema }));
      }
    } catch (error) {
      unreadable.set(id, messageOf(error));
      logger.warn({ instance: id, because: messageOf(error) }, "could not audit an instance");
    }
  }
  return { tenants, unreadable };
}

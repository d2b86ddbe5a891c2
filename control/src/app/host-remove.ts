/** Removing a host: one that holds nothing, or one that is lost with all it held. */
import { Fault, type HostId } from "@aerodb/model";
import { failpoint } from "@aerodb/runtime";
import { endHost, lockRemovableHost, type RemovableHost } from "../store/host-removal.ts";
import type { Caller, Control } from "./control.ts";
import { hostNotFound } from "./hosts.ts";
import { couldBeText } from "./text.ts";

export interface HostRemoveRequest {
  /** Id or name. */
  readonly host: string;
  /** Whether the machine is gone, and all data on it. */
  readonly lost: boolean;
}

export interface RemovedHost {
  readonly id: HostId;
  readonly name: string;
  /** By this call, or before. */
  readonly removedAt: Date;
  /** Tenants that this call declared lost. */
  readonly lostTenants: number;
}

/**
 * Removes a host by id or name. A repeat changes nothing and says when it was removed.
 * HOST_NOT_FOUND; HOST_CONNECTED while its agent is; HOST_IN_USE while tenants are on it that the
 * caller does not declare lost.
 */
export async function removeHost(
  control: Control,
  caller: Caller,
  ask: HostRemoveRequest,
): Promise<RemovedHost> {
  if (!couldBeText(ask.host)) throw hostNotFound(ask.host);
  const removed = await control.database.transaction(async (db) => {
    const host = await lockRemovableHost(db, ask.host);
    if (host === undefined) throw hostNotFound(ask.host);
    const { id, name, removedAt, tenants } = host;
    if (removedAt !== null) return { id, name, removedAt, lostTenants: 0 };
    const refusal = refusalToRemove(host, ask.lost);
    if (refusal !== undefined) throw refusal;

    const removal = { hostId: id, lost: ask.lost, principal: caller.principal };
    const at = await endHost(db, { ...removal, eventRequestId: caller.requestId });
    await failpoint("control.host_remove.before_commit");
    return { id, name, removedAt: at, lostTenants: tenants };
  });
  await failpoint("control.host_remove.after_commit");
  return removed;
}

/** Why a host may not be removed; undefined when it may. */
export function refusalToRemove(
  host: Pick<RemovableHost, "name" | "connected" | "revoked" | "tenants">,
  lost: boolean,
): Fault | undefined {
  const { name, tenants } = host;
  if (host.connected && !host.revoked) {
    const sentence = `The host ${name} is connected: stop its agent first, or revoke the host.`;
    return new Fault("HOST_CONNECTED", sentence);
  }
  if (tenants === 0 || lost) return undefined;
  const [held, them] = tenants === 1 ? ["1 tenant is", "it"] : [`${tenants} tenants are`, "them"];
  const sentence =
    `${held} on the host ${name}: delete ${them} first, while its agent is connected. When the ` +
    `machine and its data are gone for good: \`aerodb hosts remove ${name} --lost\`, or ` +
    '{"lost": true}.';
  return new Fault("HOST_IN_USE", sentence, { details: { tenants } });
}

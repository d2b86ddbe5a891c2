/** To whom nobody got through in a span, by cause: decided from what clients and probes found. */
import type { IncidentCause } from "@aerodb/model";
import { type Route, RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import type { ProbeOutcome } from "./probes.ts";
import type { Evidence } from "./reach.ts";

/** Tenants that were to be served when a span began, by their instance. */
export type Served = ReadonlyMap<string, readonly string[]>;

export interface Found {
  readonly evidence: Evidence;
  readonly probed: ReadonlyMap<string, ProbeOutcome>;
  /** Tenants of which transactions ended in the span. */
  readonly busy: ReadonlySet<string>;
}

/**
 * Of those who were to be served from the beginning to the end. A tenant that moved, came or went
 * meanwhile is left out; one that is in quarantine is not reached, whatever its server does.
 */
export function unreachedOf(
  served: Served,
  routeOf: (tenantId: string) => Route | undefined,
  found: Found,
): ReadonlyMap<IncidentCause, readonly string[]> {
  const unreached = new Map<IncidentCause, string[]>();
  for (const [instanceId, tenantIds] of served) {
    const because = causeFor(instanceId, tenantIds, found);
    for (const tenantId of tenantIds) {
      const route = routeOf(tenantId);
      if (route?.instanceId !== instanceId) continue;
      const cause = ofTenant(route, because, found);
      if (cause === undefined) continue;
      const others = unreached.get(cause);
      if (others === undefined) unreached.set(cause, [tenantId]);
      else others.push(tenantId);
    }
  }
  return unreached;
}

/** Why nobody got through to an instance; undefined: somebody did. */
function causeFor(
  instanceId: string,
  tenantIds: readonly string[],
  { evidence, probed, busy }: Found,
): IncidentCause | undefined {
  const outcome = probed.get(instanceId);
  if (outcome === "answered" || evidence.answered.has(instanceId)) return undefined;
  if (tenantIds.some((tenantId) => busy.has(tenantId))) return undefined;
  return outcome ?? evidence.unanswered.get(instanceId) ?? "not_measured";
}

function ofTenant(
  { tenantId, state }: Route,
  ofInstance: IncidentCause | undefined,
  { evidence, busy }: Found,
): IncidentCause | undefined {
  if (state === RouteState.QUARANTINED) return "quarantine";
  if (state !== RouteState.ACTIVE) return undefined;
  if (ofInstance !== undefined) return ofInstance;
  const gotThrough = evidence.letIn.has(tenantId) || busy.has(tenantId);
  return evidence.failing.has(tenantId) && !gotThrough ? "failing" : undefined;
}

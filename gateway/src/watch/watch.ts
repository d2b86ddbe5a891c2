/**
 * Finds out of every tenant, span by span, whether clients get through. Spans begin and end with
 * those of every other gateway. One that was not watched from its beginning to its end, because the
 * process came, went or stood still meanwhile, is not told: nobody knows of it then.
 */
import { RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { type Logger, monotonicMs, now, sleep } from "@aerodb/runtime";
import type { RouteTable } from "../routes.ts";
import type { Traffic } from "../traffic.ts";
import { type ProbeSettings, type ProbeTarget, probe } from "./probes.ts";
import type { Reach } from "./reach.ts";
import { unreachedOf } from "./unreached.ts";
import type { WatchedSpans } from "./watched-spans.ts";

export interface WatchSettings extends ProbeSettings {
  readonly routes: Pick<RouteTable, "all" | "byTenantId">;
  readonly traffic: Pick<Traffic, "transactions">;
  readonly reach: Reach;
  readonly spans: Pick<WatchedSpans, "add">;
  readonly certificateEndsAt: () => Date;
  /** Called whenever there is something to send. */
  readonly found: () => void;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** How late a span may begin or end, and by how much the clock may be turned in it. */
const LATE_MS = 1_000;

/** Watches until the signal is aborted, and resolves then. */
export async function watchTenants(settings: WatchSettings): Promise<void> {
  const { spanMs, signal, logger } = settings;
  let startsAtMs = boundaryAfter(now().getTime(), spanMs);
  while (!signal.aborted) {
    try {
      startsAtMs = await watchSpan(startsAtMs, settings);
    } catch (error) {
      if (signal.aborted) return;
      logger.error({ err: error }, "bug while tenants were watched; nothing is known of the span");
      startsAtMs = boundaryAfter(now().getTime(), spanMs);
    }
  }
}

/** Watches one span. Returns when the next one begins. */
async function watchSpan(startsAtMs: number, settings: WatchSettings): Promise<number> {
  const { routes, traffic, reach, spanMs, signal } = settings;
  const endsAtMs = startsAtMs + spanMs;
  await untilTime(startsAtMs, signal);
  const begun = clocks();
  reach.take();
  const before = traffic.transactions();
  const { served, targets } = whoIsServed(routes.all());
  const ending = new AbortController();
  const probing = probe(targets, settings, {
    startedMs: begun.steadyMs,
    signal: AbortSignal.any([signal, ending.signal]),
  });
  // Should it reject, that is heard of at the end of the span.
  probing.catch(() => undefined);
  await untilTime(endsAtMs, signal).finally(() => ending.abort());
  const probed = await probing;
  const ended = clocks();

  const turnedMs = ended.wallMs - begun.wallMs - (ended.steadyMs - begun.steadyMs);
  const lateMs = Math.max(begun.wallMs - startsAtMs, ended.wallMs - endsAtMs);
  if (lateMs > LATE_MS || Math.abs(turnedMs) > LATE_MS) {
    settings.logger.warn({ lateMs, turnedMs }, "time stood still; nothing is known of the span");
    return boundaryAfter(ended.wallMs, spanMs);
  }
  const busy = risen(before, traffic.transactions());
  const found = { evidence: reach.take(), probed, busy };
  settings.spans.add({
    ...{ startedAt: new Date(startsAtMs), endedAt: new Date(endsAtMs) },
    unreached: unreachedOf(served, (tenantId) => routes.byTenantId(tenantId), found),
    certificateEndsAt: settings.certificateEndsAt(),
  });
  settings.found();
  return endsAtMs;
}

function clocks(): { readonly wallMs: number; readonly steadyMs: number } {
  return { wallMs: now().getTime(), steadyMs: monotonicMs() };
}

/** The first beginning of a span that is not before. */
function boundaryAfter(wallMs: number, spanMs: number): number {
  return Math.ceil(wallMs / spanMs) * spanMs;
}

async function untilTime(wallMs: number, signal: AbortSignal): Promise<void> {
  await sleep(Math.max(0, wallMs - now().getTime()), signal);
}

/** Tenants by instance, and one role to knock with for each instance that is to let somebody in. */
function whoIsServed(
  routes: Iterable<{
    readonly tenantId: string;
    readonly instanceId: string;
    readonly role: string;
    readonly state: RouteState;
  }>,
) {
  const served = new Map<string, string[]>();
  const targets = new Map<string, ProbeTarget>();
  for (const { tenantId, instanceId, role, state } of routes) {
    if (state !== RouteState.ACTIVE && state !== RouteState.QUARANTINED) continue;
    const others = served.get(instanceId);
    if (others === undefined) served.set(instanceId, [tenantId]);
    else others.push(tenantId);
    if (state === RouteState.ACTIVE) targets.set(instanceId, { instanceId, role });
  }
  return { served, targets: [...targets.values()] };
}

/** Whose number is higher than it was. */
function risen(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): ReadonlySet<string> {
  const grown = [...after].filter(([key, number]) => number > (before.get(key) ?? 0));
  return new Set(grown.map(([key]) => key));
}

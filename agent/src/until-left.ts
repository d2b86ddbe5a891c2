import { messageOf } from "@aerodb/model";
import { type Logger, monotonicMs, sleep } from "@aerodb/runtime";
import type { InstanceStep } from "./reconcile-host.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";

/** What a transaction has to end in before a restart ends it. */
const MOST_MS = 10_000;
const LOOK_MS = 50;

export interface LeavingPorts {
  readonly tenants: Pick<TenantKeeper, "countSessions">;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly mostMs?: number;
}

/**
 * Waits until tenants have no session in an instance that is about to be restarted: gateways, which
 * were told in the same breath as this host, give theirs up at the end of a transaction. Not for
 * ever: whoever is there still is ended by the restart. Rejects with the signal's reason only.
 */
export async function untilLeft(
  { instance, restarts }: Extract<InstanceStep, { readonly kind: "stop_instance" }>,
  { tenants, logger, signal, mostMs = MOST_MS }: LeavingPorts,
): Promise<void> {
  if (!restarts) return;
  const log = logger.child({ instance: instance.id });
  const deadline = monotonicMs() + mostMs;
  const waiting = new AbortController();
  // A server that hangs does not say how many there are.
  const overdue = sleep(mostMs, AbortSignal.any([signal, waiting.signal])).catch(() => undefined);
  try {
    while (monotonicMs() < deadline) {
      if ((await Promise.race([tenants.countSessions(instance), overdue])) === 0) return;
      await sleep(LOOK_MS, signal);
    }
    log.info("sessions did not leave before a restart");
  } catch (error) {
    signal.throwIfAborted();
    log.warn({ because: messageOf(error) }, "could not count sessions before a restart");
  } finally {
    waiting.abort();
  }
}

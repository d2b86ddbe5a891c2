/** Whether a use is admitted, for whoever is about to let it happen. */
import { monthOf } from "./calendar-month.ts";
import { Fault } from "./fault.ts";
import type { QuotaResource } from "./quota.ts";

/** What is counted anew with each month. */
const MONTHLY: ReadonlySet<QuotaResource> = new Set([
  "api_requests_per_month",
  "spend_micro_usd_per_month",
]);

/** Somebody may close a connection at any time. */
const CONNECTIONS_RETRY_SECONDS = 60;

/**
 * QUOTA_EXCEEDED for one who uses all of a quota; undefined while there is room for one use more.
 * Waiting helps with what is counted by the month, once the month turns, and with connections:
 * `retry_after_seconds` in the details says how long, and REST answers 429 with `Retry-After`. With
 * files, or of a quota of nothing, it does not help.
 */
export function quotaRefusal(standing: {
  readonly resource: QuotaResource;
  /** Of what is counted by the month, in the month of `at`. */
  readonly used: bigint;
  /** Undefined: unlimited. */
  readonly quota: bigint | undefined;
  readonly at: Date;
}): Fault | undefined {
  const { resource, used, quota } = standing;
  if (quota === undefined || used < quota) return undefined;
  const retryAfter = quota === 0n ? undefined : secondsToWait(standing);
  return new Fault(
    "QUOTA_EXCEEDED",
    `The quota of ${resource} is used up: ${used} of ${quota}. ${advice(resource, retryAfter)}`,
    {
      details: {
        ...{ resource, used: used.toString(), limit: quota.toString() },
        ...(retryAfter === undefined ? {} : { retry_after_seconds: retryAfter }),
      },
    },
  );
}

function secondsToWait({ resource, at }: { resource: QuotaResource; at: Date }) {
  if (resource === "realtime_connections") return CONNECTIONS_RETRY_SECONDS;
  if (!MONTHLY.has(resource)) return undefined;
  return Math.ceil((monthOf(at).endsAt.getTime() - at.getTime()) / 1_000);
}

function advice(resource: QuotaResource, retryAfter: number | undefined): string {
  if (retryAfter === undefined) return "Use less, or have it raised.";
  return MONTHLY.has(resource)
    ? "Wait until the month turns, or have it raised."
    : "Close some, or have it raised.";
}

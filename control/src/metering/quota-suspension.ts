/**
 * Who is suspended for a quota and who is given service back, as a pure function of what the
 * catalogue says. What somebody suspended by hand is never its business.
 */
import { moneyText, type QuotaResource } from "@aerodb/model";

/** A quota that a tenant uses all of. */
export interface ReachedQuota {
  readonly resource: QuotaResource;
  /** In units of the resource. */
  readonly used: bigint;
  readonly quota: bigint;
  readonly since: Date;
}

/** After how long at a quota a tenant is suspended. */
export interface Grace {
  /** Undefined: never. */
  readonly seconds: number | undefined;
  /** Whether it is the tenant's own, and not the platform's. */
  readonly overridden: boolean;
}

/** What decides about a tenant. */
export interface SuspensionCase {
  readonly reached: readonly ReachedQuota[];
  readonly grace: Grace;
  /** When it was last given its service back: grace begins anew then. */
  readonly reinstatedAt: Date | undefined;
  /** Whether it is suspended for a quota; if not, it is served. */
  readonly suspended: boolean;
}

export type SuspensionStep =
  | { readonly kind: "suspend"; readonly reason: string }
  | { readonly kind: "reinstate" }
  | undefined;

const SECOND_MS = 1_000;
/**
 * What keeps something or costs something for as long as the tenant is served. Requests and
 * connections over quota are refused one by one, and that is enough.
 */
const SUSPENDING: ReadonlySet<QuotaResource> = new Set([
  "storage_bytes",
  "file_storage_bytes",
  "spend_micro_usd_per_month",
]);

export function suspends(resource: QuotaResource): boolean {
  return SUSPENDING.has(resource);
}

/** When a tenant that stays at a quota since then is suspended; undefined: never. */
export function suspensionAt(
  since: Date,
  { grace, reinstatedAt }: Pick<SuspensionCase, "grace" | "reinstatedAt">,
): Date | undefined {
  if (grace.seconds === undefined) return undefined;
  const from = Math.max(since.getTime(), reinstatedAt?.getTime() ?? 0);
  return new Date(from + grace.seconds * SECOND_MS);
}

/**
 * Suspends who has stayed at a quota for its grace. Gives service back to who stays at none, and to
 * whom a longer grace of its own was given; another grace of the platform gives nothing back, for
 * two controls may be told two of them.
 */
export function suspensionStep(found: SuspensionCase, at: Date): SuspensionStep {
  const { reached, grace, suspended } = found;
  const staying = reached.filter(({ resource }) => suspends(resource));
  const due = staying.filter(({ since }) => isPast(suspensionAt(since, found), at));
  if (!suspended) {
    return due.length === 0 ? undefined : { kind: "suspend", reason: reasonOf(due, grace) };
  }
  const isForgiven = grace.overridden && due.length === 0;
  return staying.length === 0 || isForgiven ? { kind: "reinstate" } : undefined;
}

function isPast(time: Date | undefined, at: Date): boolean {
  return time !== undefined && time <= at;
}

function reasonOf(due: readonly ReachedQuota[], { seconds = 0 }: Grace): string {
  const facts = due.map(sentenceOf).join(" ");
  const room = due.some(({ resource }) => resource !== "spend_micro_usd_per_month");
  const byHand =
    room && seconds > 0
      ? ` Reinstating it by hand gives it ${durationText(seconds)} to free room.`
      : "";
  return `${facts}${byHand}`;
}

function sentenceOf({ resource, used, quota, since }: ReachedQuota): string {
  const time = `${since.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  if (resource === "spend_micro_usd_per_month") {
    return (
      `Its month has been at its spend cap since ${time}: ${moneyText(used)} of ` +
      `${moneyText(quota)}. It is served again once the cap is raised or the month turns.`
    );
  }
  const what = resource === "storage_bytes" ? "storage" : "file storage";
  return (
    `Its ${what} quota has been used up since ${time}: ${used} of ${quota} bytes. It is served ` +
    "again once the quota is raised."
  );
}

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
] as const;

/** `7 days`, `90 minutes`: in the largest unit of which it is a whole number. */
export function durationText(seconds: number): string {
  const [name, length] = UNITS.find(([, each]) => seconds % each === 0) ?? ["second", 1];
  const count = seconds / length;
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}

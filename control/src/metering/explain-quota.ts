/** What follows from how far a tenant is from a quota, for people. */
import { moneyText, type QuotaResource, type QuotaStage } from "@aerodb/model";

interface Sentences {
  /** What happens once nothing is left. */
  readonly refused: string;
  /** What would give room again. */
  readonly freedBy: string;
}

const SENTENCES: Readonly<Record<QuotaResource, Sentences>> = {
  storage_bytes: {
    refused: "writes are refused with SQLSTATE 53100; reading, DELETE, TRUNCATE and DROP work",
    freedBy: "drop or truncate tables, or delete rows and VACUUM FULL; or raise the quota",
  },
  api_requests_per_month: {
    refused: "API requests are answered with 429 until the month turns",
    freedBy: "wait until the month turns, or raise the quota",
  },
  file_storage_bytes: {
    refused: "uploads are answered with 429",
    freedBy: "delete files, or raise the quota",
  },
  realtime_connections: {
    refused: "further realtime connections are refused with 429",
    freedBy: "close connections, or raise the quota",
  },
  spend_micro_usd_per_month: {
    refused:
      "writes are refused with SQLSTATE 53100, and so are plans that cost more; reading and " +
      "removing work",
    freedBy: "wait until the month turns, or raise the cap",
  },
};

interface Suspension {
  /** When the tenant is, or was, suspended if this stays so; undefined: never. */
  readonly suspendsAt?: Date | undefined;
  readonly suspendedByQuota?: boolean;
}

/** What follows from the stage, and what would end it, in sentences. */
export function explainQuota(
  standing: Suspension & {
    readonly resource: QuotaResource;
    readonly used: bigint;
    /** Undefined: unlimited. */
    readonly quota: bigint | undefined;
    readonly stage: QuotaStage;
  },
): string {
  const { resource, used, quota, stage } = standing;
  if (quota === undefined) return "Unlimited.";
  const { refused, freedBy } = SENTENCES[resource];
  const part = quota === 0n ? "all" : `${(used * 100n) / quota} %`;
  const uses = `It uses ${part} of it`;
  switch (stage) {
    case "within":
      return `${uses}.`;
    case "warned":
      return `${uses}. Once all is used, ${refused}. To have more room: ${freedBy}.`;
    case "reached":
      if (isSuspended(standing)) {
        return `${uses}, and the tenant is suspended for it. To end this: ${endedBy(resource)}.`;
      }
      return `${uses}: ${refused}. To end this: ${freedBy}.${suspensionText(standing)}`;
  }
}

function isSuspended({ suspendsAt, suspendedByQuota = false }: Suspension): boolean {
  return suspendsAt !== undefined && suspendedByQuota;
}

/** Nobody gets in to remove anything while a tenant is suspended. */
function endedBy(resource: QuotaResource): string {
  if (resource === "spend_micro_usd_per_month") return SENTENCES[resource].freedBy;
  return "raise the quota; or reinstate the tenant, which gives it its grace anew to free room in";
}

function suspensionText({ suspendsAt }: Suspension): string {
  if (suspendsAt === undefined) return "";
  const time = suspendsAt.toISOString().slice(0, 16).replace("T", " ");
  return ` If it stays so, the tenant is suspended at ${time} UTC.`;
}

/** Why writes are refused or accepted, in sentences: what is stored, and of a cap what is spent. */
export function explainWrites(found: {
  /** In bytes, as is the quota; undefined: unlimited. */
  readonly stored: bigint;
  readonly storageQuota: bigint | undefined;
  /** In millionths of a dollar, as is the cap; undefined: there is none. */
  readonly spent: bigint;
  readonly spendCap: bigint | undefined;
}): string {
  const { stored, storageQuota, spent, spendCap } = found;
  const storage = `It stores ${stored} of ${storageQuota ?? "unlimited"} bytes.`;
  if (spendCap === undefined) return storage;
  return `${storage} Its month has come to ${moneyText(spent)} of ${moneyText(spendCap)}.`;
}

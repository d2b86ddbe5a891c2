/** What a tenant may use at most, and how far it is from it. */
export const QUOTA_RESOURCES = [
  "storage_bytes",
  "api_requests_per_month",
  "file_storage_bytes",
  "realtime_connections",
  "spend_micro_usd_per_month",
] as const;

export type QuotaResource = (typeof QUOTA_RESOURCES)[number];

export type QuotaStage =
  | "within" // Well within its quota.
  | "warned" // It uses most of it: an event tells so.
  | "reached"; // It uses all of it: what would use more is refused.

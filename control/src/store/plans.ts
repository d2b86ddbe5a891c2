import { type Db, sql } from "@aerodb/db";
import type { Isolation, Plan, PlanName } from "@aerodb/model";

interface PlanRow extends Omit<Plan, QuotaName> {
  readonly storageBytes: bigint | null;
  readonly apiRequestsPerMonth: bigint | null;
  readonly fileStorageBytes: bigint | null;
  readonly realtimeConnections: bigint | null;
}
type QuotaName =
  | "storageBytes"
  | "apiRequestsPerMonth"
  | "fileStorageBytes"
  | "realtimeConnections";

/** Every plan, smallest first. */
export async function listPlans(db: Db): Promise<Plan[]> {
  const rows = await db.query<PlanRow>(sql`
    select name, isolations, default_isolation as "defaultIsolation",
           storage_bytes as "storageBytes", api_requests_per_month as "apiRequestsPerMonth",
           file_storage_bytes as "fileStorageBytes",
           realtime_connections as "realtimeConnections",
           connection_limit as "connectionLimit", memory_mib as "memoryMiB",
           cpu_millis as "cpuMillis", storage_mib as "storageMiB", pids_limit as "pidsLimit",
           importance, required_capabilities as "requiredCapabilities",
           (select base_price_micro_usd from plan_prices
             where plan = name and active_from <= now()
             order by active_from desc limit 1) as "basePriceMicroUsd"
      from plans order by sort_order`);
  return rows.map((row) => ({
    ...row,
    storageBytes: row.storageBytes ?? undefined,
    apiRequestsPerMonth: row.apiRequestsPerMonth ?? undefined,
    fileStorageBytes: row.fileStorageBytes ?? undefined,
    realtimeConnections: row.realtimeConnections ?? undefined,
  }));
}

/** What a plan lets a tenant change to, and what an instance of its own is given. */
export interface PlanTerms {
  readonly name: PlanName;
  readonly isolations: readonly Isolation[];
  readonly connectionLimit: number;
  readonly memoryMiB: number;
  readonly cpuMillis: number;
  readonly storageMiB: number;
  readonly pidsLimit: number;
  readonly importance: number;
  readonly requiredCapabilities: readonly string[];
}

/** Undefined when there is no such plan. */
export async function findPlanTerms(db: Db, plan: string): Promise<PlanTerms | undefined> {
  const [terms] = await db.query<PlanTerms>(sql`
    select name, isolations, connection_limit as "connectionLimit", memory_mib as "memoryMiB",
           cpu_millis as "cpuMillis", storage_mib as "storageMiB", pids_limit as "pidsLimit",
           importance, required_capabilities as "requiredCapabilities"
      from plans where name = ${plan}`);
  return terms;
}

/** Changes what a plan requires of hosts. False when there is no such plan. */
export async function writePlanRequirements(
  db: Db,
  change: {
    readonly plan: string;
    readonly requiredCapabilities: readonly string[];
    readonly principal: string;
    readonly eventRequestId: string;
  },
): Promise<boolean> {
  const changed = await db.query(sql`
    with earlier as (
      select name, required_capabilities from plans where name = ${change.plan} for update
    ), plan as (
      update plans p set required_capabilities = ${change.requiredCapabilities}::text[]
        from earlier where p.name = earlier.name
      returning p.name, p.required_capabilities
    ), event as (
      insert into events (actor, kind, subject, before, after, request_id)
      select ${change.principal}, 'plan.update', plan.name,
             json_build_object('required_capabilities', earlier.required_capabilities),
             json_build_object('required_capabilities', plan.required_capabilities),
             ${change.eventRequestId}
        from plan join earlier using (name)
       where plan.required_capabilities <> earlier.required_capabilities
    )
    select name from plan`);
  return changed.length === 1;
}

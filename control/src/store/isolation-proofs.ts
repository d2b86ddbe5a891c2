import { type Db, sql } from "@aerodb/db";
import type { HostId, Isolation, TenantId } from "@aerodb/model";

export interface JudgedRule {
  readonly id: string;
  /** How many things were looked at, and of how many it holds. */
  readonly checked: number;
  readonly held: number;
  readonly violations: readonly string[];
}

/** What a host found of one of its tenants. */
export interface IsolationProof {
  readonly tenantId: string;
  readonly provenAt: Date;
  readonly engine: string;
  readonly rules: readonly JudgedRule[];
  /** Ids of rules that did not hold until the host mended what it could. */
  readonly healedRules: readonly string[];
  /** Why it came to no end; empty for one that did. */
  readonly unprovenBecause: string;
}

/** How a rule is kept: `[id, checked, held]`, and what it does not hold of where there is any. */
type KeptRule = readonly [string, number, number, (readonly string[])?];

export interface StoredProof {
  readonly tenantId: TenantId;
  readonly isolation: Isolation;
  readonly provenAt: Date;
  readonly engine: string;
  readonly proven: boolean;
  readonly rules: readonly JudgedRule[];
}

export function isProven({ rules }: Pick<IsolationProof, "rules">): boolean {
  return rules.length > 0 && rules.every(({ checked, held }) => checked === held);
}

/** Writes an event for a tenant of a host of which a proof came to no end. */
export async function noteUnproven(
  db: Db,
  hostId: HostId,
  { tenantId, unprovenBecause }: IsolationProof,
): Promise<void> {
  await db.query(sql`
    insert into events (actor, kind, subject, after)
    select ${hostId}, 'tenant.isolation_unproven', t.id,
           jsonb_build_object('reason', ${unprovenBecause}::text)
      from tenants t join instances i on i.id = t.instance_id
     where t.id = ${tenantId} and i.host_id = ${hostId} and t.deleted_at is null`);
}

/**
 * Keeps what a host found of its tenants, unless something newer is kept, and writes an event for
 * what was mended. Each tenant at most once in the list. Returns the ids of those it was kept of.
 */
export async function keepIsolationProofs(
  db: Db,
  hostId: HostId,
  proofs: readonly IsolationProof[],
): Promise<readonly TenantId[]> {
  const rows = proofs.map((proof) => {
    return { ...proof, proven: isProven(proof), rules: proof.rules.map(keptRule) };
  });
  const kept = await db.query<{ id: TenantId }>(sql`
    with found as (
      select t.id, p."provenAt", p.engine, p.proven, p.rules, p."healedRules"
        from json_to_recordset(${JSON.stringify(rows)}::json)
             as p ("tenantId" text, "provenAt" timestamptz, engine text, proven boolean,
                   rules jsonb, "healedRules" jsonb)
        join tenants t on t.id = p."tenantId" join instances i on i.id = t.instance_id
       where i.host_id = ${hostId} and t.deleted_at is null
    ), kept as (
      insert into isolation_proofs as old (tenant_id, proven_at, engine, proven, rules)
      select id, "provenAt", engine, proven, rules from found
      on conflict (tenant_id) do update
         set proven_at = excluded.proven_at, engine = excluded.engine, proven = excluded.proven,
             rules = excluded.rules
       where old.proven_at < excluded.proven_at
      returning tenant_id
    ), event as (
      insert into events (actor, kind, subject, after)
      select ${hostId}, 'tenant.isolation_healed', f.id,
             jsonb_build_object('rules', f."healedRules")
        from found f join kept k on k.tenant_id = f.id
       where jsonb_array_length(f."healedRules") > 0
    )
    select tenant_id as id from kept`);
  return kept.map(({ id }) => id);
}

export async function findIsolationProof(
  db: Db,
  tenantId: TenantId,
): Promise<StoredProof | undefined> {
  const [proof] = await db.query<Omit<StoredProof, "rules"> & { rules: readonly KeptRule[] }>(sql`
    select t.id as "tenantId", t.isolation, p.proven_at as "provenAt", p.engine, p.proven, p.rules
      from isolation_proofs p join tenants t on t.id = p.tenant_id
     where p.tenant_id = ${tenantId}`);
  return proof && { ...proof, rules: proof.rules.map(judgedRule) };
}

function keptRule({ id, checked, held, violations }: JudgedRule): KeptRule {
  return violations.length > 0 ? [id, checked, held, violations] : [id, checked, held];
}

function judgedRule([id, checked, held, violations = []]: KeptRule): JudgedRule {
  return { id, checked, held, violations };
}

/** Tenants that gateways refuse because of what was found. */
export async function listQuarantined(
  db: Db,
  among: readonly TenantId[],
): Promise<readonly TenantId[]> {
  const rows = await db.query<{ id: TenantId }>(sql`
    select id from tenants where id = any (${among}::text[]) and quarantine_reason is not null`);
  return rows.map(({ id }) => id);
}

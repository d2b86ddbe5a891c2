import { type Db, sql } from "@aerodb/db";
import type { OperationId, TenantId } from "@aerodb/model";

export type OperationKind =
  | "create_tenant"
  | "delete_tenant"
  | "rotate_credentials"
  | "suspend_tenant"
  | "reinstate_tenant";

export interface OperationStep {
  readonly name: string;
  readonly at: Date;
}

/** The caller's view of a change that takes a while. */
export interface Operation {
  readonly id: OperationId;
  readonly kind: OperationKind;
  readonly tenantId: TenantId;
  readonly done: boolean;
  /** Why it ended without success; empty otherwise. */
  readonly error: string;
  readonly createdAt: Date;
  readonly doneAt: Date | undefined;
  readonly deadlineAt: Date;
  readonly steps: readonly OperationStep[];
}

interface OperationRow extends Omit<Operation, "doneAt" | "steps"> {
  readonly doneAt: Date | null;
  readonly stepNames: readonly string[];
  readonly stepTimes: readonly Date[];
}

export async function findOperation(db: Db, id: string): Promise<Operation | undefined> {
  const rows = await db.query<OperationRow>(sql`
    select id, kind, tenant_id as "tenantId", done_at is not null as done, error,
           created_at as "createdAt", done_at as "doneAt", deadline_at as "deadlineAt",
           array(select s.name from operation_steps s
                  where s.operation_id = o.id order by position) as "stepNames",
           array(select s.at from operation_steps s
                  where s.operation_id = o.id order by position) as "stepTimes"
      from operations o where id = ${id}`);
  return rows.map(fromRow)[0];
}

/**
 * A page of operations, newest first: those with ids before `before`; an empty text is the first
 * page.
 */
export async function listOperations(
  db: Db,
  query: {
    readonly tenantId: string | null;
    readonly before: string;
    readonly limit: number;
  },
): Promise<Operation[]> {
  const { tenantId, before, limit } = query;
  const rows = await db.query<OperationRow>(sql`
    select id, kind, tenant_id as "tenantId", done_at is not null as done, error,
           created_at as "createdAt", done_at as "doneAt", deadline_at as "deadlineAt",
           array(select s.name from operation_steps s
                  where s.operation_id = o.id order by position) as "stepNames",
           array(select s.at from operation_steps s
                  where s.operation_id = o.id order by position) as "stepTimes"
      from operations o
     where (${tenantId}::text is null or tenant_id = ${tenantId})
       and id < coalesce(nullif(${before}, ''), 'op_~')
     order by id desc limit ${limit}`);
  return rows.map(fromRow);
}

function fromRow({ stepNames, stepTimes, doneAt, ...row }: OperationRow): Operation {
  const steps = stepNames.map((name, index) => ({ name, at: stepTimes[index] ?? row.createdAt }));
  return { ...row, doneAt: doneAt ?? undefined, steps };
}

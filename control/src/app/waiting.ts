/** Waiting for what a change leads to. Whoever waits no longer leaves the change to go on. */
import { Fault, type OperationId, type TenantId } from "@aerodb/model";
import { after } from "@aerodb/runtime";
import type { Control } from "./control.ts";

const WAIT_MS = 30_000;
const COVERAGE_MS = 2_000;
const OPERATION_MS = 600_000;

export function operationMs(control: Control): number {
  return control.settings.operationMs ?? OPERATION_MS;
}

export interface TenantWait {
  readonly tenantId: TenantId;
  /** The operation that goes on when the wait is over; left out where the change has none. */
  readonly operationId?: OperationId;
  /** As long as is usual when left out. */
  readonly ms?: number;
  /** Completes "waited 30000 ms for …". */
  readonly expecting: string;
  /** Aborted when the caller goes away. */
  readonly signal: AbortSignal;
}

/**
 * Calls `look` now and after every change of the tenant until it gives something. After the
 * deadline it throws OPERATION_TIMED_OUT with the operation to ask after.
 */
export async function untilTenant<Value>(
  control: Control,
  wait: TenantWait,
  look: () => Promise<Value | undefined>,
): Promise<Value> {
  const ms = wait.ms ?? control.settings.waitMs ?? WAIT_MS;
  const deadline = new AbortController();
  const cancel = after(ms, () => {
    const sentence = `Waited ${ms} ms for ${wait.expecting}; the operation goes on.`;
    const operation = wait.operationId === undefined ? {} : { operation_id: wait.operationId };
    const details = { ...operation, tenant_id: wait.tenantId };
    deadline.abort(new Fault("OPERATION_TIMED_OUT", sentence, { details }));
  });
  try {
    const signal = AbortSignal.any([wait.signal, deadline.signal]);
    return await control.changes.untilTenant(wait.tenantId, look, signal);
  } finally {
    cancel();
  }
}

/**
 * Waits until connected gateways follow the routes of a generation. One that hangs must not hold
 * back everybody's answers: after a moment its clients may be refused for a while longer instead.
 */
export async function untilCovered(
  control: Control,
  generation: bigint,
  signal: AbortSignal,
): Promise<void> {
  const late = new AbortController();
  const cancel = after(COVERAGE_MS, () => late.abort());
  try {
    await control.acknowledgements.covers(generation, AbortSignal.any([signal, late.signal]));
  } catch (error) {
    signal.throwIfAborted();
    if (!late.signal.aborted) throw error;
    control.logger.warn({ generation: String(generation) }, "a gateway is slow to take in routes");
  } finally {
    cancel();
  }
}

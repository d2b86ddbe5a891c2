/** Desired state for tests. */
import type { InstanceId, TenantId } from "@aerodb/model";
import { newId } from "@aerodb/runtime";
import type { DesiredInstance, DesiredTenant } from "./desired.ts";
import { sampleSpec } from "./sample-spec.ts";

/** A well-formed verifier; of what password nobody knows. */
const [SALT, STORED_KEY, SERVER_KEY] = [16, 32, 33].map((seed) =>
  Buffer.alloc(Math.min(seed, 32), seed).toString("base64"),
);
const VERIFIER = `SCRAM-SHA-256$4096:${SALT}$${STORED_KEY}:${SERVER_KEY}`;

export function sampleInstance(
  change: Partial<Omit<DesiredInstance, "spec">> & Partial<DesiredInstance["spec"]> = {},
): DesiredInstance {
  const { generation = 1n, present = true, ...spec } = change;
  return {
    generation,
    present,
    spec: sampleSpec({
      shared: true,
      maxConnections: 20,
      memoryMiB: 256,
      cpuMillis: 500,
      ...spec,
    }),
  };
}

export function sampleTenant(
  instanceId: InstanceId,
  change: Partial<DesiredTenant> = {},
): DesiredTenant {
  const tenantId: TenantId = newId("ten");
  return {
    tenantId,
    generation: 1n,
    present: true,
    instanceId,
    verifier: VERIFIER,
    connectionLimit: 5,
    extensions: [],
    suspended: false,
    writesRefused: false,
    ...change,
  };
}

import { newId } from "@aerodb/runtime";
import type { InstanceSpec } from "./instance-spec.ts";

/** A small dedicated instance for tests. */
export function sampleSpec(change: Partial<InstanceSpec> = {}): InstanceSpec {
  return {
    id: newId("ins"),
    shared: false,
    engineMajor: 18,
    maxConnections: 10,
    memoryMiB: 128,
    cpuMillis: 100,
    storageMiB: 0,
    pidsLimit: 0,
    settings: {},
    importance: 0,
    restartGeneration: 0n,
    ...change,
  };
}

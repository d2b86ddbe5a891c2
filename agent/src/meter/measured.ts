/** What was measured of one subject over one span of time, and how two spans become one. */
import {
  entriesOfReadings,
  type InstanceId,
  isMetric,
  mergeReadings,
  type Readings,
  type TenantId,
} from "@aerodb/model";
import type { TopStatement } from "@aerodb/postgres";
import { type Sample, SampleSchema } from "@aerodb/rpc/aerodb/agent/v1/sample_pb.js";
import { encodeTime } from "@aerodb/wire";
import { create, toBinary } from "@bufbuild/protobuf";

/** Without an instance it is of the host; with an instance and no tenant, of the instance. */
export interface Measured {
  readonly instanceId?: InstanceId;
  readonly tenantId?: TenantId;
  readonly at: Date;
  readonly seconds: number;
  readonly readings: Readings;
  readonly statements?: readonly TopStatement[];
}

export function subjectOf(measured: Measured): string {
  return measured.tenantId ?? measured.instanceId ?? "";
}

/** Two spans of one subject, one after the other, as one. */
export function mergeMeasured(older: Measured, newer: Measured): Measured {
  const statements = newer.statements ?? older.statements;
  return {
    ...newer,
    seconds: older.seconds + newer.seconds,
    readings: mergeReadings(older.readings, newer.readings),
    ...(statements === undefined ? {} : { statements }),
  };
}

/** As it is kept until control has it. The number is given when it is sent. */
export function encodeMeasured(measured: Measured): Uint8Array {
  const { instanceId = "", tenantId = "", at, seconds, readings, statements = [] } = measured;
  const values = Object.fromEntries(entriesOfReadings(readings));
  return toBinary(
    SampleSchema,
    create(SampleSchema, {
      ...{ instanceId, tenantId, at: encodeTime(at), values },
      seconds: Math.max(1, Math.round(seconds)),
      statements: statements.map(({ tenantId: _, ...statement }) => statement),
    }),
  );
}

/** Like `mergeMeasured`, for samples on their way to control. Returns the newer one. */
export function mergeSamples(older: Sample, newer: Sample): Sample {
  newer.seconds += older.seconds;
  newer.values = { ...mergeReadings(readingsOf(older), readingsOf(newer)) } as Sample["values"];
  if (newer.statements.length === 0) newer.statements = older.statements;
  return newer;
}

function readingsOf(sample: Sample): Readings {
  return Object.fromEntries(Object.entries(sample.values).filter(([name]) => isMetric(name)));
}

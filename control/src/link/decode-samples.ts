import type { Sample } from "@aerodb/rpc/aerodb/agent/v1/sample_pb.js";
import { decodeTime } from "@aerodb/wire";
import type { SentSample } from "../app/samples.ts";

/** Samples that say of which time they are; others say nothing. */
export function decodeSamples(samples: readonly Sample[]): SentSample[] {
  return samples.flatMap(({ at, statements, sequence, seconds, instanceId, tenantId, values }) => {
    if (at === undefined) return [];
    const sent = { sequence, seconds, instanceId, tenantId, values, at: decodeTime(at) };
    return [
      {
        ...sent,
        statements: statements.map(({ queryId, query, calls, totalSeconds, rows }) => ({
          ...{ queryId: String(queryId), query, totalSeconds },
          ...{ calls: Number(calls), rows: Number(rows) },
        })),
      },
    ];
  });
}

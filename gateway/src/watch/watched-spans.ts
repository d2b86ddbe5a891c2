/** What was found span by span, on disk until control has taken it in. */
import type { IncidentCause } from "@aerodb/model";
import {
  UnreachedSchema,
  type WatchedSpan,
  WatchedSpanSchema,
} from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { now, Spool } from "@aerodb/runtime";
import { encodeTime } from "@aerodb/wire";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

export interface FoundSpan {
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly unreached: ReadonlyMap<IncidentCause, readonly string[]>;
  readonly certificateEndsAt: Date;
}

/** As many as fit into a message with room to spare, whatever their cause. */
const TENANTS_IN_A_PART = 2_000;
/** Two weeks of minutes. What is older then is dropped, and unknown for good. */
const MOST_KEPT = 20_000;

export class WatchedSpans {
  readonly #spool: Spool;

  constructor(path: string) {
    this.#spool = new Spool(path, {
      // A new spool begins above all that an earlier one could have numbered.
      firstSequence: BigInt(now().getTime()),
      bound: { most: MOST_KEPT, condense: (messages) => messages },
    });
  }

  /** Keeps a span, all of its parts or none. */
  add(span: FoundSpan): void {
    this.#spool.append(partsOf(span).map((part) => toBinary(WatchedSpanSchema, part)));
  }

  /** The oldest after a number that control has not taken in, at most `limit`. */
  after(sequence: bigint, limit: number): WatchedSpan[] {
    return this.#spool.after(sequence, limit).map((message) => ({
      ...fromBinary(WatchedSpanSchema, message.body),
      sequence: message.sequence,
    }));
  }

  /** Control has taken in every part up to a number. */
  acknowledge(sequence: bigint): void {
    this.#spool.acknowledge(sequence);
  }

  close(): void {
    this.#spool.close();
  }
}

function partsOf({ startedAt, endedAt, unreached, certificateEndsAt }: FoundSpan): WatchedSpan[] {
  const groups = [...unreached].flatMap(([cause, tenantIds]) =>
    inGroups(tenantIds).map((each) => create(UnreachedSchema, { cause, tenantIds: each })),
  );
  const parts = groups.length === 0 ? [[]] : groups.map((group) => [group]);
  return parts.map((each) =>
    create(WatchedSpanSchema, {
      ...{ startedAt: encodeTime(startedAt), endedAt: encodeTime(endedAt), unreached: each },
      certificateEndsAt: encodeTime(certificateEndsAt),
    }),
  );
}

function inGroups(tenantIds: readonly string[]): string[][] {
  const count = Math.ceil(tenantIds.length / TENANTS_IN_A_PART);
  return Array.from({ length: count }, (_, at) =>
    tenantIds.slice(at * TENANTS_IN_A_PART, (at + 1) * TENANTS_IN_A_PART),
  );
}

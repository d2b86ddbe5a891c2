import type { WatchedSpan as WireSpan } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { decodeTime } from "@aerodb/wire";
import type { WatchedSpan } from "../app/fleet.ts";

const NO_TIME = new Date(Number.NaN);

/** A time that was left out is none: whoever judges the span refuses it. */
export function decodeWatched(spans: readonly WireSpan[]): WatchedSpan[] {
  return spans.map(({ sequence, startedAt, endedAt, unreached, certificateEndsAt }) => ({
    ...{ sequence, unreached },
    startedAt: startedAt === undefined ? NO_TIME : decodeTime(startedAt),
    endedAt: endedAt === undefined ? NO_TIME : decodeTime(endedAt),
    certificateEndsAt: timeOf(certificateEndsAt),
  }));
}

/** Undefined for what is no time as well. */
function timeOf(given: WireSpan["certificateEndsAt"]): Date | undefined {
  const time = given === undefined ? NO_TIME : decodeTime(given);
  return Number.isNaN(time.getTime()) ? undefined : time;
}

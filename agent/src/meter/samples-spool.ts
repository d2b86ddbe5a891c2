import { type Sample, SampleSchema } from "@aerodb/rpc/aerodb/agent/v1/sample_pb.js";
import { now, Spool, type SpooledMessage } from "@aerodb/runtime";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { mergeSamples } from "./measured.ts";

/** Some 10 MB: 300 busy instances for ten minutes in full, and for days in coarser spans. */
const MOST = 20_000;

/**
 * Samples that wait for control. When it is away for long, the oldest spans of each subject are
 * joined: what was counted stays counted, only the time of it gets coarser.
 */
export function openSampleSpool(path: string, most = MOST): Spool {
  return new Spool(path, {
    // A spool that is made anew goes on above the numbers of one that was lost.
    firstSequence: BigInt(now().getTime()),
    bound: { most, condense: joinSpans },
  });
}

/** Joins neighbouring spans of each subject two by two. */
function joinSpans(messages: readonly SpooledMessage[]): SpooledMessage[] {
  const open = new Map<string, readonly [SpooledMessage, Sample]>();
  const joined: SpooledMessage[] = [];
  for (const message of messages) {
    const sample = fromBinary(SampleSchema, message.body);
    const subject = sample.tenantId || sample.instanceId;
    const older = open.get(subject);
    if (older === undefined) {
      open.set(subject, [message, sample]);
      continue;
    }
    open.delete(subject);
    const body = toBinary(SampleSchema, mergeSamples(older[1], sample));
    joined.push({ sequence: message.sequence, body });
  }
  return [...joined, ...[...open.values()].map(([message]) => message)];
}

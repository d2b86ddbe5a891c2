/** Sends samples on one stream to control, in order, and only as many as control keeps up with. */
import {
  type SampleReport,
  SampleReportSchema,
  SampleSchema,
} from "@aerodb/rpc/aerodb/agent/v1/sample_pb.js";
import type { Spool } from "@aerodb/runtime";
import { create, fromBinary } from "@bufbuild/protobuf";

const BATCH = 200;
/** Sent and not acknowledged: beyond that they stay on disk, where they can still be condensed. */
const MOST_UNACKNOWLEDGED = 400;

export interface SampleStreamPorts {
  readonly spool: Spool;
  readonly write: (report: SampleReport) => void;
  /** Whether the stream takes more now. */
  readonly isOpen: () => boolean;
}

export class SampleStream {
  readonly #ports: SampleStreamPorts;
  #sent = 0n;
  #unacknowledged: bigint[] = [];

  constructor(ports: SampleStreamPorts) {
    this.#ports = ports;
  }

  /** Sends samples that were not sent on this stream yet. */
  send(): void {
    const { spool, write, isOpen } = this.#ports;
    while (isOpen() && this.#unacknowledged.length < MOST_UNACKNOWLEDGED) {
      const messages = spool.after(this.#sent, BATCH);
      const last = messages.at(-1);
      if (last === undefined) return;
      spool.markSent(last.sequence);
      this.#sent = last.sequence;
      this.#unacknowledged.push(...messages.map(({ sequence }) => sequence));
      const samples = messages.map(({ sequence, body }) => {
        const sample = fromBinary(SampleSchema, body);
        sample.sequence = sequence;
        return sample;
      });
      write(create(SampleReportSchema, { samples }));
    }
  }

  /** Control has taken in samples up to a number for good; 0 says nothing. */
  acknowledge(sequence: bigint): void {
    const before = this.#unacknowledged.length;
    this.#unacknowledged = this.#unacknowledged.filter((sent) => sent > sequence);
    if (this.#unacknowledged.length === before) return;
    this.#ports.spool.acknowledge(sequence);
    this.send();
  }
}

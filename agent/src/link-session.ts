/** One stream between the agent and control, from `hello` until it breaks. */
import { messageOf } from "@aerodb/model";
import type { DesiredState } from "@aerodb/rpc/aerodb/agent/v1/desired_pb.js";
import type { Fingerprint } from "@aerodb/rpc/aerodb/agent/v1/fingerprint_pb.js";
import {
  type Acknowledgement,
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
  type Hello,
  type LogChunk,
  type LogRequest,
  type RelationReport,
  type RelationRequest,
  type SweepReport,
  type SweepRequest,
  type TrialReport,
  type TrialRequest,
  type WarmOrder,
  type WarmReport,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import {
  type AuditReport,
  type IsolationProof,
  type ObservedReport,
  ObservedReportSchema,
  type ProofReport,
  type ProofRequest,
  UsageEventSchema,
} from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { every, failpoint, type Logger, later, now, type Spool } from "@aerodb/runtime";
import { encodeTime } from "@aerodb/wire";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { type ClientDuplexStream, type ServiceError, status } from "@grpc/grpc-js";
import type { Subject } from "./desired.ts";
import { type DesiredIntake, PartCollector } from "./desired-intake.ts";
import { SampleStream } from "./meter/samples-stream.ts";
import { absentIn } from "./observed.ts";

export interface SessionPorts {
  readonly intake: DesiredIntake;
  readonly usage: Spool;
  readonly samples: Spool;
  readonly hello: (generation: bigint) => Hello;
  /** The report on some subjects; on all there are when none are named. */
  readonly report: (subjects?: Iterable<Subject>) => ObservedReport;
  readonly audit: (auditId: bigint) => Promise<AuditReport>;
  readonly log: (request: LogRequest) => Promise<LogChunk>;
  readonly sweep: (request: SweepRequest) => Promise<SweepReport>;
  /** What is to be kept ready, and what is. */
  readonly warm: { order(order: WarmOrder): void; report(): WarmReport };
  /** Whether no instance takes writes, because the host's disk is nearly full. */
  readonly diskFull: () => boolean;
  /** The newest proof of every tenant. */
  readonly proofs: () => readonly IsolationProof[];
  readonly prove: (request: ProofRequest) => Promise<ProofReport>;
  readonly tryTables: (request: TrialRequest) => Promise<TrialReport>;
  readonly sizeRelations: (request: RelationRequest) => Promise<RelationReport>;
  /** The number of the next report. */
  readonly nextSequence: () => bigint;
  readonly logger: Logger;
}

export type LinkCall = ClientDuplexStream<ConnectRequest, ConnectResponse>;

export interface SessionEnd {
  readonly reason: string;
  readonly cause: EndCause;
}

/**
 * `refused`: control will not have this host, and nothing but an operator changes that. `replaced`:
 * a newer stream of the host took the place of this one. All else is `lost`.
 */
export type EndCause = "refused" | "replaced" | "lost";

const CAUSES: Readonly<Record<number, EndCause>> = {
  [status.PERMISSION_DENIED]: "refused",
  [status.FAILED_PRECONDITION]: "refused",
  [status.ABORTED]: "replaced",
};

const HEARTBEAT_MS = 5_000;
const USAGE_BATCH = 500;
const PROOFS_BATCH = 64;
const PROOFS_PAUSE_MS = 250;

export class LinkSession {
  /** Resolves once the stream is over. Never rejects. */
  readonly ended: Promise<SessionEnd>;
  /** Whether control sent anything: only then was the stream accepted. */
  heard = false;
  readonly #call: LinkCall;
  readonly #ports: SessionPorts;
  readonly #parts = new PartCollector();
  readonly #pending = new Map<string, Subject>();
  readonly #proofs = new Map<string, IsolationProof>();
  readonly #unacknowledged = new Map<bigint, ReturnType<typeof absentIn>>();
  readonly #over = new AbortController();
  readonly #samples: SampleStream;
  #taking: Promise<void> = Promise.resolve();
  #flushing = false;
  #blocked = false;
  #usageSent = 0n;
  #refusal: string | undefined;

  constructor(call: LinkCall, ports: SessionPorts) {
    this.#call = call;
    this.#ports = ports;
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.ended = promise;
    this.#samples = new SampleStream({
      spool: ports.samples,
      write: (value) => this.#write({ case: "samples", value }),
      isOpen: () => !this.#blocked && !this.#over.signal.aborted,
    });
    const end = (reason: string, cause: EndCause = "lost"): void => {
      this.#over.abort();
      resolve({ reason: this.#refusal ?? reason, cause });
    };
    call.on("data", (message: ConnectResponse) => this.#receive(message));
    call.on("error", (error: Partial<ServiceError>) =>
      end(messageOf(error), CAUSES[error.code ?? status.UNKNOWN]),
    );
    call.on("end", () => end("control ended the stream"));
    call.on("drain", () => this.#unblock());
    this.#open();
  }

  /** Reports on a subject soon, together with whatever else changes in the same moment. */
  changed(subject: Subject): void {
    this.#pending.set(subject.id, subject);
    this.#flushSoon();
  }

  /** Sends readings that were not sent on this stream yet. */
  sendUsage(): void {
    if (this.#blocked || this.#over.signal.aborted) return;
    const messages = this.#ports.usage.after(this.#usageSent, USAGE_BATCH);
    const last = messages.at(-1);
    if (last === undefined) return;
    this.#usageSent = last.sequence;
    const events = messages.map(({ sequence, body }) => {
      const event = fromBinary(UsageEventSchema, body);
      event.sequence = sequence;
      return event;
    });
    this.#write({ case: "usage", value: { events } });
  }

  /** Sends samples that were not sent on this stream yet. */
  sendSamples(): void {
    this.#samples.send();
  }

  /**
   * Sends proofs in a moment, together with others that come by then: that a tenant is ready, which
   * somebody waits for, does not queue up behind them.
   */
  sendProofs(proofs: readonly IsolationProof[]): void {
    if (this.#proofs.size === 0) later(PROOFS_PAUSE_MS, () => this.#flushProofs());
    for (const proof of proofs) this.#proofs.set(proof.tenantId, proof);
  }

  /** Says anew what is kept ready. */
  sendWarm(): void {
    this.#write({ case: "warm", value: this.#ports.warm.report() });
  }

  /** Every report says how the host's disk is. */
  sendDisk(): void {
    this.#sendReport(create(ObservedReportSchema));
  }

  sendFingerprint(fingerprint: Fingerprint): void {
    this.#write({ case: "fingerprint", value: fingerprint });
  }

  close(): void {
    this.#call.cancel();
  }

  #open(): void {
    const { hello, intake, report } = this.#ports;
    this.#write({
      case: "hello",
      value: { ...hello(intake.generation), sentAt: encodeTime(now()) },
    });
    this.#sendReport(report());
    this.sendProofs(this.#ports.proofs());
    this.sendWarm();
    this.sendUsage();
    this.sendSamples();
    every(HEARTBEAT_MS, () => this.#beat(), this.#over.signal);
  }

  #beat(): void {
    this.#write({ case: "heartbeat", value: { sentAt: encodeTime(now()) } });
    this.sendUsage();
  }

  #receive({ message }: ConnectResponse): void {
    this.heard = true;
    // What is none of these comes from a newer control: this agent does not know it.
    if (message.case === "desired") this.#takePart(message.value);
    if (message.case === "acknowledgement") this.#acknowledge(message.value);
    if (message.case === "audit") void this.#answerAudit(message.value.auditId);
    if (message.case === "log") void this.#answerLog(message.value);
    if (message.case === "warm") this.#ports.warm.order(message.value);
    if (message.case === "proof") void this.#answerProof(message.value);
    if (message.case === "trial") void this.#answerTrial(message.value);
    if (message.case === "relations") void this.#answerRelations(message.value);
    if (message.case === "sweep") void this.#answerSweep(message.value);
  }

  #takePart(part: DesiredState): void {
    const whole = this.#parts.add(part);
    if (whole === undefined) return;
    // One after the other, in the order they came.
    this.#taking = this.#taking
      .then(() => (this.#over.signal.aborted ? undefined : this.#ports.intake.take(whole)))
      .catch((error: unknown) => this.#refuse(error));
  }

  /**
   * What control says cannot be taken: the stream is dialled again, and control says it all anew.
   */
  #refuse(error: unknown): void {
    this.#refusal = messageOf(error);
    this.#call.cancel();
  }

  #acknowledge(acknowledgement: Acknowledgement): void {
    for (const [sequence, absent] of this.#unacknowledged) {
      if (sequence > acknowledgement.observedSequence) break;
      this.#unacknowledged.delete(sequence);
      for (const { subject, generation } of absent) this.#ports.intake.forget(subject, generation);
    }
    if (acknowledgement.usageSequence > 0n) {
      this.#ports.usage.acknowledge(acknowledgement.usageSequence);
      this.sendUsage();
    }
    this.#samples.acknowledge(acknowledgement.sampleSequence);
  }

  async #answerAudit(auditId: bigint): Promise<void> {
    try {
      this.#write({ case: "audit", value: await this.#ports.audit(auditId) });
    } catch (error) {
      this.#ports.logger.warn({ err: error }, "the audit failed");
    }
  }

  async #answerLog(request: LogRequest): Promise<void> {
    this.#write({ case: "log", value: await this.#ports.log(request) });
  }

  async #answerProof(request: ProofRequest): Promise<void> {
    this.#write({ case: "proof", value: await this.#ports.prove(request) });
  }

  async #answerTrial(request: TrialRequest): Promise<void> {
    this.#write({ case: "trial", value: await this.#ports.tryTables(request) });
  }

  async #answerRelations(request: RelationRequest): Promise<void> {
    this.#write({ case: "relations", value: await this.#ports.sizeRelations(request) });
  }

  async #answerSweep(request: SweepRequest): Promise<void> {
    this.#write({ case: "sweep", value: await this.#ports.sweep(request) });
  }

  #flushSoon(): void {
    if (this.#flushing || this.#blocked) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#blocked || this.#over.signal.aborted || this.#pending.size === 0) return;
    const subjects = [...this.#pending.values()];
    this.#pending.clear();
    const report = this.#ports.report(subjects);
    if (report.instances.length + report.tenants.length > 0) this.#sendReport(report);
  }

  /** Those of thousands of tenants would be too large for one report. */
  #flushProofs(): void {
    if (this.#over.signal.aborted) return;
    const proofs = [...this.#proofs.values()];
    this.#proofs.clear();
    for (let start = 0; start < proofs.length; start += PROOFS_BATCH) {
      const batch = proofs.slice(start, start + PROOFS_BATCH);
      this.#sendReport(create(ObservedReportSchema, { proofs: batch }));
    }
  }

  #sendReport(report: ObservedReport): void {
    if (this.#over.signal.aborted) return;
    report.sequence = this.#ports.nextSequence();
    report.diskFull = this.#ports.diskFull();
    this.#unacknowledged.set(report.sequence, absentIn(report));
    this.#write({ case: "observed", value: report });
    void failpoint("agent.report.sent");
  }

  #write(message: MessageInitShape<typeof ConnectRequestSchema>["message"]): void {
    if (this.#over.signal.aborted || message === undefined) return;
    if (!this.#call.write(create(ConnectRequestSchema, { message }))) this.#blocked = true;
  }

  #unblock(): void {
    this.#blocked = false;
    this.#flushSoon();
    this.sendUsage();
    this.sendSamples();
  }
}

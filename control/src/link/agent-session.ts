/**
 * The life of one agent's stream, after its hello: desired state goes down whole and then change by
 * change; what comes up is taken into the catalogue before it is acknowledged.
 */
import { Fault, type HostId } from "@aerodb/model";
import type { Fingerprint } from "@aerodb/rpc/aerodb/agent/v1/fingerprint_pb.js";
import {
  type ConnectRequest,
  type ConnectResponse,
  ConnectResponseSchema,
  type WarmReport,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import type { ObservedReport, UsageEvent } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import type { Sample } from "@aerodb/rpc/aerodb/agent/v1/sample_pb.js";
import { every, type Logger, monotonicMs } from "@aerodb/runtime";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { DesiredState, Fleet } from "../app/fleet.ts";
import type { AnswerTo, Question } from "../app/host-questions.ts";
import { AgentQuestions } from "./agent-questions.ts";
import type { ClockOffset } from "./clock-offset.ts";
import { decodeFacts } from "./decode-fingerprint.ts";
import { decodeReports, decodeUsage } from "./decode-observed.ts";
import { decodeSamples } from "./decode-samples.ts";
import { encodeDesired } from "./encode-desired.ts";
import { decodeWarm, encodeWarm } from "./encode-warm.ts";
import { Intake } from "./intake.ts";
import type { LinkStream } from "./link-stream.ts";
import { persist } from "./persist.ts";

type Outgoing = NonNullable<
  Extract<MessageInitShape<typeof ConnectResponseSchema>, { $typeName?: never }>["message"]
>;
export type AgentStream = LinkStream<ConnectRequest, ConnectResponse>;

/** How long an agent may be silent, how often that is looked at, and how long answers may take. */
export interface LinkTimes {
  readonly silenceMs: number;
  readonly lookMs: number;
  readonly auditMs: number;
  readonly sweepMs: number;
  readonly helloMs: number;
  /** How long the later of two agents of one host is refused when the first is gone. */
  readonly conflictMs: number;
}

export const LINK_TIMES: LinkTimes = {
  silenceMs: 45_000,
  lookMs: 10_000,
  auditMs: 10_000,
  sweepMs: 40_000,
  helloMs: 10_000,
  conflictMs: 60_000,
};

const MOST_REPORTS_WAITING = 64;
const MOST_USAGE_WAITING = 64;
const MOST_SAMPLES_WAITING = 16;
const MOST_FINGERPRINTS_WAITING = 2;
const MOST_WARM_REPORTS_WAITING = 16;

export interface AgentSessionOptions {
  readonly hostId: HostId;
  /** What the catalogue knows this session by. */
  readonly token: string;
  readonly stream: AgentStream;
  /** The agent's clock, as its messages show it. */
  readonly clock: ClockOffset;
  readonly fleet: Fleet;
  readonly logger: Logger;
  readonly times: LinkTimes;
}

export class AgentSession {
  readonly #options: AgentSessionOptions;
  readonly #observed: Intake<ObservedReport>;
  readonly #usage: Intake<readonly UsageEvent[]>;
  readonly #fingerprints: Intake<Fingerprint>;
  readonly #samples: Intake<readonly Sample[]>;
  readonly #warm: Intake<WarmReport>;
  readonly #questions: AgentQuestions;
  #observedSequence = 0n;
  #usageSequence = 0n;
  #sampleSequence = 0n;
  /** What this stream said last. */
  #diskFull: boolean | undefined;
  #heardAtMs = monotonicMs();
  #heardToldAtMs = 0;

  constructor(options: AgentSessionOptions) {
    this.#options = options;
    const { signal } = options.stream;
    const send = (message: Outgoing): Promise<void> => this.#send(message);
    this.#questions = new AgentQuestions({ ...options, signal, send });
    const failed = (error: unknown): void => this.#fail(error);
    this.#observed = new Intake({
      take: (reports) => this.#takeObserved(reports),
      failed,
      mostWaiting: MOST_REPORTS_WAITING,
    });
    this.#usage = new Intake({
      take: (events) => this.#takeUsage(events.flat()),
      failed,
      mostWaiting: MOST_USAGE_WAITING,
    });
    this.#samples = new Intake({
      take: (samples) => this.#takeSamples(samples.flat()),
      failed,
      mostWaiting: MOST_SAMPLES_WAITING,
    });
    this.#fingerprints = new Intake({
      take: (fingerprints) => this.#takeFingerprint(fingerprints.at(-1)),
      failed,
      mostWaiting: MOST_FINGERPRINTS_WAITING,
    });
    this.#warm = new Intake({
      take: (reports) => this.#takeWarm(reports.at(-1)),
      failed,
      mostWaiting: MOST_WARM_REPORTS_WAITING,
    });
  }

  get hostId(): HostId {
    return this.#options.hostId;
  }

  /** Runs until the stream is over. Never rejects. */
  async run(): Promise<void> {
    const { stream, times } = this.#options;
    every(times.lookMs, () => this.#lookAtSilence(), stream.signal);
    const answering = this.#questions.answerOthers().catch((error: unknown) => this.#fail(error));
    try {
      await this.#keepInformed();
    } catch (error) {
      this.#fail(error);
    }
    await answering;
  }

  end(fault: Fault): void {
    this.#options.stream.end(fault);
  }

  /** Takes in a message of the agent, any but the hello. */
  take({ message }: ConnectRequest): void {
    this.#heardAtMs = monotonicMs();
    switch (message.case) {
      case "observed":
        this.#holdBack(this.#observed.offer(message.value));
        break;
      case "usage":
        this.#holdBack(this.#usage.offer(message.value.events));
        break;
      case "audit":
      case "log":
      case "sweep":
      case "proof":
      case "trial":
      case "relations":
        this.#questions.answered(message);
        break;
      case "fingerprint":
        this.#holdBack(this.#fingerprints.offer(message.value));
        break;
      case "warm":
        this.#holdBack(this.#warm.offer(message.value));
        break;
      case "heartbeat":
        this.#options.clock.note(message.value.sentAt);
        break;
      case "samples":
        this.#holdBack(this.#samples.offer(message.value.samples));
        break;
      case undefined:
        break;
      case "hello":
        this.end(new Fault("INVALID_ARGUMENT", "A second hello on one stream."));
    }
  }

  /** Asks the agent something. */
  ask<Asked extends Question>(question: Asked, signal: AbortSignal): Promise<AnswerTo<Asked>> {
    return this.#questions.ask(question, signal);
  }

  async #keepInformed(): Promise<void> {
    const { fleet, hostId, stream } = this.#options;
    // Watched before it is read, so that no change falls between the two.
    const watch = fleet.watchDesired(hostId);
    try {
      const whole = await this.#persist(() => fleet.desiredWhole(hostId));
      await this.#sendDesired(whole, { whole: true, baseGeneration: 0n });
      const warm = await this.#persist(() => fleet.warmPolicies(hostId));
      await this.#send({ case: "warm", value: encodeWarm(warm) });
      let sent = whole.generation;
      while (!stream.signal.aborted) {
        await watch.changed(stream.signal);
        const change = await this.#persist(() => fleet.desiredChanges(hostId, sent));
        const { instances, tenants, sharedTableChanges } = change;
        if (instances.length + tenants.length + sharedTableChanges.length === 0) continue;
        await this.#sendDesired(change, { whole: false, baseGeneration: sent });
        sent = change.generation;
      }
    } finally {
      watch.close();
    }
  }

  async #sendDesired(
    state: DesiredState,
    kind: { readonly whole: boolean; readonly baseGeneration: bigint },
  ): Promise<void> {
    for (const value of encodeDesired(state, kind)) await this.#send({ case: "desired", value });
  }

  async #takeObserved(reports: readonly ObservedReport[]): Promise<void> {
    const { fleet, hostId } = this.#options;
    const report = decodeReports(reports);
    const { diskFull } = report;
    const news = diskFull === this.#diskFull ? { ...report, diskFull: undefined } : report;
    await this.#persist(() => fleet.takeObserved(hostId, news));
    this.#diskFull = diskFull;
    this.#observedSequence = reports.at(-1)?.sequence ?? this.#observedSequence;
    await this.#acknowledge();
  }

  async #takeUsage(events: readonly UsageEvent[]): Promise<void> {
    const { fleet, hostId } = this.#options;
    await this.#persist(() => fleet.takeUsage(hostId, decodeUsage(events)));
    this.#usageSequence = events.at(-1)?.sequence ?? this.#usageSequence;
    await this.#acknowledge();
  }

  /** Each tells everything: the newest is enough. */
  async #takeFingerprint(fingerprint: Fingerprint | undefined): Promise<void> {
    const { fleet, hostId, token } = this.#options;
    const facts = decodeFacts(fingerprint);
    const current = await this.#persist(() => fleet.takeHostFacts(hostId, token, facts));
    if (!current) this.end(takenOver());
  }

  async #takeSamples(samples: readonly Sample[]): Promise<void> {
    const { fleet, hostId } = this.#options;
    await this.#persist(() => fleet.takeSamples(hostId, decodeSamples(samples)));
    this.#sampleSequence = samples.at(-1)?.sequence ?? this.#sampleSequence;
    await this.#acknowledge();
  }

  /** Each tells everything: the newest is enough. */
  async #takeWarm(report: WarmReport | undefined): Promise<void> {
    const { fleet, hostId } = this.#options;
    if (report === undefined) return;
    await this.#persist(() => fleet.takeWarmInstances(hostId, decodeWarm(report)));
  }

  #acknowledge(): Promise<void> {
    const value = {
      observedSequence: this.#observedSequence,
      usageSequence: this.#usageSequence,
      sampleSequence: this.#sampleSequence,
    };
    return this.#send({ case: "acknowledgement", value });
  }

  async #lookAtSilence(): Promise<void> {
    const { fleet, hostId, token, times, clock } = this.#options;
    const silentMs = monotonicMs() - this.#heardAtMs;
    if (silentMs > times.silenceMs) {
      this.end(new Fault("UNAVAILABLE", `The agent was silent for ${times.silenceMs} ms.`));
      return;
    }
    if (this.#heardAtMs <= this.#heardToldAtMs) return;
    this.#heardToldAtMs = this.#heardAtMs;
    // A catalogue that is away hears of it the next time.
    const current = await fleet.hostHeard(hostId, token, clock.ms).catch(() => true);
    if (!current) this.end(takenOver());
  }

  #persist<Value>(attempt: () => Promise<Value>): Promise<Value> {
    const { stream, logger } = this.#options;
    return persist(attempt, { signal: stream.signal, logger });
  }

  #send(message: Outgoing): Promise<void> {
    return this.#options.stream.send(create(ConnectResponseSchema, { message }));
  }

  #holdBack(room: Promise<void> | undefined): void {
    if (room !== undefined) this.#options.stream.holdBack(room);
  }

  #fail(error: unknown): void {
    const { stream, logger } = this.#options;
    if (stream.signal.aborted) return;
    if (error instanceof Fault) logger.warn({ because: error.message }, "ends a stream");
    else logger.error({ err: error }, "bug in the link of an agent");
    stream.end(error);
  }
}

/** Why an older stream of a host ends. */
export function takenOver(): Fault {
  return new Fault("SUPERSEDED", "A newer stream of this host took over.");
}

/**
 * What is asked of one agent over its stream: numbered, each with a deadline, and answered out of
 * order. Questions of other controls are taken from the catalogue and answered through it.
 */
import { Fault, type HostId, messageOf } from "@aerodb/model";
import type {
  ConnectRequest,
  ConnectResponseSchema,
  LogChunk,
  RelationReport,
  SweepReport as WireSweepReport,
  TrialReport as WireTrialReport,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import type { AuditReport } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { type Logger, within } from "@aerodb/runtime";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Fleet } from "../app/fleet.ts";
import type { AnswerTo, AskedElsewhere, Question, SweepReport } from "../app/host-questions.ts";
import { decodeAudit } from "./decode-observed.ts";
import { decodeProofReport } from "./decode-proofs.ts";

type Outgoing = NonNullable<
  Extract<MessageInitShape<typeof ConnectResponseSchema>, { $typeName?: never }>["message"]
>;
/** What an agent answers with. */
export type Answer = Extract<
  ConnectRequest["message"],
  { case: "audit" | "log" | "sweep" | "proof" | "trial" | "relations" }
>;

/** How long each kind of answer may take. */
export interface AnswerTimes {
  readonly auditMs: number;
  readonly sweepMs: number;
}

export interface AgentQuestionsOptions {
  readonly hostId: HostId;
  readonly token: string;
  readonly fleet: Fleet;
  readonly logger: Logger;
  readonly times: AnswerTimes;
  /** Aborted when the stream is over. */
  readonly signal: AbortSignal;
  readonly send: (message: Outgoing) => Promise<void>;
}

export class AgentQuestions {
  readonly #options: AgentQuestionsOptions;
  readonly #waiting = new Map<string, (answer: Answer) => void>();
  #lastNumber = 0n;

  constructor(options: AgentQuestionsOptions) {
    this.#options = options;
  }

  /** Throws UNAVAILABLE when the agent cannot answer or goes away, and OPERATION_TIMED_OUT. */
  async ask<Asked extends Question>(
    question: Asked,
    signal: AbortSignal,
  ): Promise<AnswerTo<Asked>> {
    const { hostId, times } = this.#options;
    this.#lastNumber += 1n;
    const number = this.#lastNumber;
    // With the kind: an agent that mixes them up is not understood, rather than misunderstood.
    const key = `${question.kind} ${number}`;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    promise.catch(() => undefined);
    const over = AbortSignal.any([signal, this.#options.signal]);
    const stop = (): void => reject(over.reason);
    over.addEventListener("abort", stop, { once: true });
    this.#waiting.set(key, resolve);
    try {
      over.throwIfAborted();
      await this.#options.send(encodeQuestion(question, number));
      const short = ["audit", "log", "relations"].includes(question.kind);
      const ms = short ? times.auditMs : times.sweepMs;
      const wait = { ms, expecting: `the ${question.kind} of host ${hostId}` };
      return decodeAnswer(hostId, await within(wait, promise)) as AnswerTo<Asked>;
    } finally {
      over.removeEventListener("abort", stop);
      this.#waiting.delete(key);
    }
  }

  /** An answer came. What nobody waits for is dropped. */
  answered(answer: Answer): void {
    this.#waiting.get(`${answer.case} ${numberOf(answer)}`)?.(answer);
  }

  /** Answers what other controls ask, until the stream is over. */
  async answerOthers(): Promise<void> {
    const { fleet, hostId, token, logger, signal } = this.#options;
    const watch = fleet.watchQuestions(hostId);
    try {
      while (!signal.aborted) {
        try {
          const asked = await fleet.takeAskedElsewhere(hostId, token);
          for (const each of asked) void this.#answerElsewhere(each);
        } catch (error) {
          // Who asked gives up at its deadline; the listener wakes this when the catalogue is back.
          logger.warn({ because: messageOf(error) }, "could not look for questions");
        }
        await watch.changed(signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      watch.close();
    }
  }

  async #answerElsewhere({ id, question }: AskedElsewhere): Promise<void> {
    const { fleet, logger, signal } = this.#options;
    try {
      const answer = await this.ask(question, signal);
      await fleet.answerElsewhere(id, { answer });
    } catch (error) {
      if (!(error instanceof Fault)) logger.error({ err: error }, "bug in an answer");
      const fault = error instanceof Fault ? error : new Fault("UNAVAILABLE", "It failed.");
      await fleet.answerElsewhere(id, { fault }).catch((failure: unknown) => {
        logger.warn({ because: messageOf(failure) }, "could not send an answer");
      });
    }
  }
}

function numberOf({ case: kind, value }: Answer): bigint {
  switch (kind) {
    case "audit":
      return value.auditId;
    case "log":
      return value.logId;
    case "sweep":
      return value.sweepId;
    case "proof":
      return value.proofId;
    case "trial":
      return value.trialId;
    case "relations":
      return value.relationsId;
  }
}

function encodeQuestion(question: Question, number: bigint): Outgoing {
  switch (question.kind) {
    case "audit":
      return { case: "audit", value: { auditId: number } };
    case "relations": {
      const { tenantId, limit } = question;
      return { case: "relations", value: { relationsId: number, tenantId, limit } };
    }
    case "proof":
      return { case: "proof", value: { proofId: number, tenantId: question.tenantId } };
    case "trial": {
      const { kind: _, ...change } = question;
      return { case: "trial", value: { trialId: number, ...change } };
    }
    case "log": {
      const { instanceId, cursor, maxBytes } = question;
      return { case: "log", value: { logId: number, instanceId, cursor, maxBytes } };
    }
    case "sweep": {
      const { kind: _, ...order } = question;
      const value = {
        instanceIds: [...order.instanceIds],
        forgottenInstanceIds: [...order.forgottenInstanceIds],
        pids: [...order.pids],
        paths: [...order.paths],
        trashPaths: [...order.trashPaths],
      };
      return { case: "sweep", value: { sweepId: number, ...value } };
    }
  }
}

function decodeAnswer(hostId: HostId, answer: Answer): AnswerTo<Question> {
  switch (answer.case) {
    case "audit":
      return decodeAudit(hostId, answer.value satisfies AuditReport);
    case "log":
      return decodeLog(answer.value);
    case "sweep":
      return decodeSweep(answer.value);
    case "proof":
      return decodeProofReport(answer.value);
    case "trial":
      return decodeTrial(answer.value);
    case "relations":
      return decodeRelations(answer.value);
  }
}

function decodeLog({ text, cursor, failure }: LogChunk): AnswerTo<Question> {
  if (failure !== "") throw new Fault("UNAVAILABLE", failure);
  return { text, cursor };
}

function decodeTrial({ instanceIds, refusal, sqlState, line, failure }: WireTrialReport) {
  if (failure !== "") throw new Fault("UNAVAILABLE", failure);
  return { instanceIds, refusal, sqlState, line };
}

function decodeRelations({ relations, failure }: RelationReport) {
  if (failure !== "") throw new Fault("UNAVAILABLE", failure);
  return {
    relations: relations.map(({ schema, name, kind, table, bytes }) => {
      return { schema, name, kind, table, bytes: bytes.toString() };
    }),
  };
}

function decodeSweep(report: WireSweepReport): SweepReport {
  const kept = report.keptSubjects.map((subject, index) => ({
    subject,
    reason: report.kept[index] ?? "It was kept.",
  }));
  return { removed: report.removed, kept };
}

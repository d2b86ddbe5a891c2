/**
 * Questions to the agents of hosts. An agent's stream ends at one control process; a question asked
 * at another goes through the catalogue to it, and the answer comes back the same way.
 */
import { randomUUID } from "node:crypto";
import { FAULT_CODES, Fault, type FaultCode, type HostId } from "@aerodb/model";
import { after } from "@aerodb/runtime";
import {
  answerQuestion,
  deleteQuestion,
  insertQuestion,
  readAnswer,
  takeQuestions,
} from "../store/host-questions.ts";
import type { IsolationProof } from "../store/isolation-proofs.ts";
import type { Control } from "./control.ts";
import type { HostAudit } from "./diagnosis-comparison.ts";

/** A part of a log: whole lines, oldest first, and where the next part begins. */
export interface LogPart {
  readonly text: string;
  readonly cursor: string;
}

/** What became of a sweep, by what it was asked to remove. */
export interface SweepReport {
  readonly removed: readonly string[];
  readonly kept: readonly { readonly subject: string; readonly reason: string }[];
}

/** Asks for everything that is really on the host. */
export interface AuditQuestion {
  readonly kind: "audit";
}

export interface LogQuestion {
  readonly kind: "log";
  readonly instanceId: string;
  readonly cursor: string;
  readonly maxBytes: number;
}

/** Orders what an operator confirmed to be removed. */
export interface SweepQuestion {
  readonly kind: "sweep";
  readonly instanceIds: readonly string[];
  readonly forgottenInstanceIds: readonly string[];
  readonly pids: readonly number[];
  readonly paths: readonly string[];
  readonly trashPaths: readonly string[];
}

/** Asks for a proof that a tenant is apart from all others. */
export interface ProofQuestion {
  readonly kind: "proof";
  readonly tenantId: string;
}

/** Asks for a change of shared tables to be tried in all shared instances that run on the host. */
export interface TrialQuestion {
  readonly kind: "trial";
  /** The place that the change would have. */
  readonly number: number;
  readonly name: string;
  readonly sql: string;
}

/** What came of a trial. */
export interface TrialReport {
  /** Where it was tried, up to the first that refused it. */
  readonly instanceIds: readonly string[];
  /** Why the last of them refused it; empty when none did. */
  readonly refusal: string;
  /** Empty where there is none. */
  readonly sqlState: string;
  /** Of the change, from 1; 0 where that is not known. */
  readonly line: number;
}

/** Asks what of a tenant takes most room. */
export interface RelationsQuestion {
  readonly kind: "relations";
  readonly tenantId: string;
  readonly limit: number;
}

/** What a table or an index takes. */
export interface SizedRelation {
  readonly schema: string;
  readonly name: string;
  /** `table`, `index`, `materialized view`, `sequence` or `large objects`. */
  readonly kind: string;
  /** Of an index the table it is on; else empty. */
  readonly table: string;
  /** A whole number, as text. */
  readonly bytes: string;
}

export type Question =
  | AuditQuestion
  | LogQuestion
  | SweepQuestion
  | ProofQuestion
  | TrialQuestion
  | RelationsQuestion;

/** What a question is answered with. Plain JSON. */
export interface Answers {
  readonly audit: HostAudit;
  readonly log: LogPart;
  readonly sweep: SweepReport;
  readonly proof: IsolationProof;
  readonly trial: TrialReport;
  readonly relations: { readonly relations: readonly SizedRelation[] };
}
export type AnswerTo<Asked extends Question> = Answers[Asked["kind"]];

/** The agents that are connected to this process. Filled by the link to the agents. */
export interface Agents {
  /** Undefined when the host's agent is not connected here. */
  ask<Asked extends Question>(
    hostId: HostId,
    question: Asked,
    signal: AbortSignal,
  ): Promise<AnswerTo<Asked>> | undefined;
}

/** Every agent there is. */
export interface HostQuestions {
  /**
   * Asks the agent of a host, wherever it is connected. Throws UNAVAILABLE when it is not connected
   * at all or cannot answer, and OPERATION_TIMED_OUT.
   */
  ask<Asked extends Question>(
    hostId: HostId,
    question: Asked,
    signal: AbortSignal,
  ): Promise<AnswerTo<Asked>>;
}

/** How long an answer through the catalogue may take: a moment longer than the agent itself may. */
const WAIT_MS = {
  audit: 15_000,
  log: 15_000,
  sweep: 45_000,
  proof: 45_000,
  trial: 45_000,
  relations: 15_000,
} as const;

export function openHostQuestions(control: Control, agents: Agents): HostQuestions {
  return {
    ask: (hostId, question, signal) =>
      agents.ask(hostId, question, signal) ?? askElsewhere(control, { hostId, question, signal }),
  };
}

async function askElsewhere<Asked extends Question>(
  control: Control,
  asked: { readonly hostId: HostId; readonly question: Asked; readonly signal: AbortSignal },
): Promise<AnswerTo<Asked>> {
  const { database, changes } = control;
  const { hostId, question } = asked;
  const id = randomUUID();
  const waitMs = WAIT_MS[question.kind];
  const deadline = new AbortController();
  const cancel = after(waitMs, () => {
    const sentence = `Waited ${waitMs} ms for host ${hostId} to answer through another control.`;
    deadline.abort(new Fault("OPERATION_TIMED_OUT", sentence));
  });
  const ask = { id, hostId, question, waitSeconds: waitMs / 1_000 };
  try {
    if (!(await insertQuestion(database, ask))) {
      throw new Fault("UNAVAILABLE", `The agent of host ${hostId} is not connected.`);
    }
    const signal = AbortSignal.any([asked.signal, deadline.signal]);
    const said = await changes.untilAnswer(id, () => readAnswer(database, id), signal);
    if (said.fault !== null) throw readFault(said.fault);
    return said.answer as AnswerTo<Asked>;
  } finally {
    cancel();
    // Left alone when the catalogue is away: who asks next drops what is stale.
    await deleteQuestion(database, id).catch(() => undefined);
  }
}

/** A newer control may write a code that this one does not know. */
function readFault({ code, message }: { readonly code: string; readonly message: string }): Fault {
  return new Fault(code in FAULT_CODES ? (code as FaultCode) : "UNAVAILABLE", message);
}

export interface AskedElsewhere {
  readonly id: string;
  readonly question: Question;
}

/** Takes what was asked elsewhere of a host whose session is here, each once. */
export async function takeAskedElsewhere(
  control: Control,
  hostId: HostId,
  token: string,
): Promise<readonly AskedElsewhere[]> {
  const taken = await takeQuestions(control.database, hostId, token);
  return taken.map(({ id, question }) => ({ id, question: question as Question }));
}

/** Sends the answer, or the fault there was, to who asked elsewhere. */
export async function answerElsewhere(
  control: Control,
  id: string,
  said: { readonly answer: object } | { readonly fault: Fault },
): Promise<void> {
  if ("answer" in said) return answerQuestion(control.database, id, said);
  const { code, message } = said.fault;
  await answerQuestion(control.database, id, { fault: { code, message } });
}

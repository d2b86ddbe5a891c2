/**
 * Removes from hosts what a diagnosis found and an operator has confirmed. Nothing is looked for
 * here: the operator's list is what counts, and of that only what is still true. Control looks
 * whether the catalogue knows a thing by now, the agent whether it is still an orphan of its own.
 */
import { Fault, type HostId, isId } from "@aerodb/model";
import { failpoint } from "@aerodb/runtime";
import { type HostHoldings, readHoldings } from "../store/consistency.ts";
import { insertSweepEvent } from "../store/sweeps.ts";
import type { Caller, Control } from "./control.ts";
import type { HostQuestions, SweepQuestion, SweepReport } from "./host-questions.ts";
import { cleanText } from "./text.ts";

export interface FindingToSweep {
  readonly kind: string;
  readonly hostId: string;
  /** An id, a path or a process. */
  readonly subject: string;
}

export interface SweepResult extends FindingToSweep {
  readonly removed: boolean;
  /** Why it was kept; empty when it is gone. */
  readonly reason: string;
}

export interface SweepOrder {
  readonly questions: HostQuestions;
  readonly caller: Caller;
  readonly findings: readonly FindingToSweep[];
  readonly signal: AbortSignal;
}

const SWEEPABLE = [
  "ORPHAN_DIRECTORY",
  "FORGOTTEN_INSTANCE",
  "ORPHAN_PROCESS",
  "ORPHAN_PATH",
  "TRASH",
];
const MAX_TEXT = 1_000;

/** One result for each finding, in their order. INVALID_ARGUMENT for what cannot be swept. */
export async function sweepOrphans(control: Control, order: SweepOrder): Promise<SweepResult[]> {
  for (const finding of order.findings) requireSweepable(finding);
  const hostIds = [...new Set(order.findings.map(({ hostId }) => hostId as HostId))];
  const swept = await Promise.all(
    hostIds.map(async (hostId) => {
      const findings = order.findings.filter((each) => each.hostId === hostId);
      return [hostId, await sweepHost(control, { ...order, findings }, hostId)] as const;
    }),
  );
  const resultsOf = new Map<string, ReadonlyMap<FindingToSweep, SweepResult>>(swept);
  return order.findings.map(
    (finding) => resultsOf.get(finding.hostId)?.get(finding) ?? kept(finding, "It was left out."),
  );
}

function requireSweepable({ kind, hostId, subject }: FindingToSweep): void {
  if (!SWEEPABLE.includes(kind)) {
    const known = SWEEPABLE.join(", ");
    throw invalid(`A finding ${JSON.stringify(kind)} is not swept; what can be is ${known}.`);
  }
  if (!isId("hst", hostId)) {
    throw invalid(`${JSON.stringify(hostId)} is no id of a host: a sweep is of one.`);
  }
  if (/^(ORPHAN_DIRECTORY|FORGOTTEN_INSTANCE)$/.test(kind) && !isId("ins", subject)) {
    throw invalid(`${JSON.stringify(subject)} is no id of an instance.`);
  }
  if (kind === "ORPHAN_PROCESS" && !/^[1-9][0-9]{0,9}$/.test(subject)) {
    throw invalid(`${JSON.stringify(subject)} is no process id.`);
  }
}

function invalid(sentence: string): Fault {
  return new Fault("INVALID_ARGUMENT", sentence);
}

async function sweepHost(
  control: Control,
  order: SweepOrder,
  hostId: HostId,
): Promise<ReadonlyMap<FindingToSweep, SweepResult>> {
  const { questions, caller, findings, signal } = order;
  const [holdings] = await readHoldings(control.database, [hostId]);
  const results = new Map<FindingToSweep, SweepResult>();
  for (const finding of findings) {
    const reason = whyToKeep(finding, holdings);
    if (reason !== undefined) results.set(finding, kept(finding, reason));
  }
  const wanted = findings.filter((finding) => !results.has(finding));
  if (wanted.length === 0) return results;

  const by = { hostId, principal: caller.principal, requestId: caller.requestId };
  const asked = wanted.map(({ kind, subject }) => ({
    kind,
    subject: cleanText(subject, MAX_TEXT),
  }));
  await insertSweepEvent(control.database, { ...by, kind: "host.sweep", what: { asked } });
  await failpoint("control.sweep.noted");
  const report = await askToSweep(questions, { hostId, wanted, signal });
  for (const finding of wanted) results.set(finding, resultOf(finding, report));
  const told = [...results.values()].map(({ subject, removed, reason }) => ({
    ...{ subject: cleanText(subject, MAX_TEXT), removed, reason: cleanText(reason, MAX_TEXT) },
  }));
  await insertSweepEvent(control.database, { ...by, kind: "host.swept", what: { results: told } });
  return results;
}

/** Why nothing is to be done about a finding any more; undefined when the host is to be asked. */
function whyToKeep(finding: FindingToSweep, holdings: HostHoldings | undefined) {
  if (holdings === undefined) return "The catalogue knows no such host.";
  const known = holdings.instances.some(({ id }) => id === finding.subject);
  return known ? "The catalogue places it on this host by now." : undefined;
}

/** One order for all of a host's findings. Of a host that does not answer everything is kept. */
async function askToSweep(
  questions: HostQuestions,
  ask: {
    readonly hostId: HostId;
    readonly wanted: readonly FindingToSweep[];
    readonly signal: AbortSignal;
  },
): Promise<SweepReport> {
  const subjects = (kind: string): string[] =>
    ask.wanted.filter((finding) => finding.kind === kind).map(({ subject }) => subject);
  const question: SweepQuestion = {
    kind: "sweep",
    instanceIds: subjects("ORPHAN_DIRECTORY"),
    forgottenInstanceIds: subjects("FORGOTTEN_INSTANCE"),
    pids: subjects("ORPHAN_PROCESS").map(Number),
    paths: subjects("ORPHAN_PATH"),
    trashPaths: subjects("TRASH"),
  };
  try {
    return await questions.ask(ask.hostId, question, ask.signal);
  } catch (error) {
    ask.signal.throwIfAborted();
    if (!(error instanceof Fault)) throw error;
    const reason = `${error.message} What became of it is not known: diagnose again.`;
    return { removed: [], kept: ask.wanted.map(({ subject }) => ({ subject, reason })) };
  }
}

function resultOf(finding: FindingToSweep, report: SweepReport): SweepResult {
  if (report.removed.includes(finding.subject)) return { ...finding, removed: true, reason: "" };
  const found = report.kept.find(({ subject }) => subject === finding.subject);
  return kept(finding, found?.reason ?? "The host's agent is too old to sweep: upgrade it.");
}

function kept({ kind, hostId, subject }: FindingToSweep, reason: string): SweepResult {
  return { kind, hostId, subject, removed: false, reason };
}

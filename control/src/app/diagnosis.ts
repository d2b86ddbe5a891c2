/** Compares the catalogue with itself and with what hosts really hold. Changes nothing. */
import { Fault, type HostId } from "@aerodb/model";
import { findDisagreements, readHoldings } from "../store/consistency.ts";
import { listHosts } from "../store/hosts.ts";
import type { Control } from "./control.ts";
import { compareHost, type Finding, type HostAudit } from "./diagnosis-comparison.ts";
import type { HostQuestions } from "./host-questions.ts";

export type { Finding, HostAudit };

export interface Diagnosis {
  /** Worst first. */
  readonly findings: readonly Finding[];
  /** What sweeps have set aside, and nobody has deleted yet. */
  readonly trash: readonly Finding[];
  readonly hostsChecked: number;
  readonly instancesChecked: number;
  readonly tenantsChecked: number;
}

/** Kinds of findings, worst first: data nobody answers for, then what is missing, then the rest. */
const WORST_FIRST = [
  "TENANT_WITHOUT_INSTANCE",
  "MISSING_DIRECTORY",
  "MISSING_ROLE",
  "MISSING_PROCESS",
  "FORGOTTEN_INSTANCE",
  "ORPHAN_PROCESS",
  "ORPHAN_DIRECTORY",
  "ORPHAN_ROLE",
  "ORPHAN_PATH",
  "FOREIGN_DIRECTORY",
  "FOREIGN_PATH",
  "RESERVATION_MISMATCH",
  "TENANT_COUNT_MISMATCH",
  "QUARANTINED_TENANT",
  "STUCK_TENANT",
  "OVERDUE_OPERATION",
  "UNUSED_INSTANCE",
  "PLACEMENT_IN_OTHER_REGION",
  "HOST_NOT_AUDITED",
  "UNREADABLE_INSTANCE",
];

/** How many hosts are asked at the same time. */
const AUDITS_AT_ONCE = 100;

/**
 * What hosts hold is read between two looks at the catalogue, and a thing counts only where both
 * looks agree: what is being made or destroyed meanwhile is no finding.
 */
export async function diagnose(
  control: Control,
  questions: HostQuestions,
  signal: AbortSignal,
): Promise<Diagnosis> {
  const hosts = await listHosts(control.database);
  const hostIds = hosts.map(({ id }) => id);
  const before = await readHoldings(control.database, hostIds);
  const connected = hosts.filter((host) => host.connected).map(({ id }) => id);
  const { audits, failed } = await auditHosts(questions, connected, signal);
  const after = await readHoldings(control.database, hostIds);
  const own = await findDisagreements(control.database);
  const compared = audits.map((audit) => {
    const [early, late] = [before, after].map((each) =>
      each.find(({ hostId }) => hostId === audit.hostId),
    );
    return compareHost(audit, { before: early, after: late });
  });
  const heard = new Set<string>(audits.map(({ hostId }) => hostId));
  const silent = hosts
    .filter(({ id }) => !heard.has(id))
    .map(({ id, name }) => notAudited(id, name, failed.find((each) => each.hostId === id)?.reason));
  const findings = [
    ...own.map((each) => ({ ...each, hostId: "" })),
    ...compared.flatMap((each) => each.findings),
    ...silent,
  ];
  return {
    findings: findings.sort((a, b) => rankOf(a) - rankOf(b)),
    trash: audits.flatMap(trashOf),
    hostsChecked: audits.length,
    instancesChecked: compared.reduce((sum, each) => sum + each.instances, 0),
    tenantsChecked: compared.reduce((sum, each) => sum + each.tenants, 0),
  };
}

/** Asks hosts what they hold, a bounded number at once. One that does not answer is `failed`. */
async function auditHosts(
  questions: HostQuestions,
  hostIds: readonly HostId[],
  signal: AbortSignal,
): Promise<{
  readonly audits: readonly HostAudit[];
  readonly failed: readonly { readonly hostId: HostId; readonly reason: string }[];
}> {
  const audits: HostAudit[] = [];
  const failed: { readonly hostId: HostId; readonly reason: string }[] = [];
  const waiting = [...hostIds];
  async function ask(): Promise<void> {
    for (let hostId = waiting.shift(); hostId !== undefined; hostId = waiting.shift()) {
      try {
        audits.push(await questions.ask(hostId, { kind: "audit" }, signal));
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof Fault)) throw error;
        failed.push({ hostId, reason: error.message.replace(/\.$/, "") });
      }
    }
  }
  await Promise.all(Array.from({ length: AUDITS_AT_ONCE }, ask));
  return { audits, failed };
}

function trashOf({ hostId, trashPaths }: HostAudit): readonly Finding[] {
  return trashPaths.map((subject) => {
    const detail = `${subject} was set aside by a sweep, and is deleted when you say so.`;
    return { kind: "TRASH", hostId, subject, detail };
  });
}

function notAudited(hostId: HostId, name: string, reason = "its agent is not connected"): Finding {
  const detail = `The host ${name} was not looked at: ${reason}.`;
  return { kind: "HOST_NOT_AUDITED", hostId, subject: hostId, detail };
}

function rankOf({ kind }: Finding): number {
  const rank = WORST_FIRST.indexOf(kind);
  return rank === -1 ? WORST_FIRST.length : rank;
}

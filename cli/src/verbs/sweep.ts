/**
 * The second half of `aerodb doctor --sweep`: shows what would be removed, asks, and has it done.
 */
import { createInterface } from "node:readline/promises";
import { Fault } from "@aerodb/model";
import type {
  DiagnoseResponse,
  Finding,
  SweepResult,
} from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { EXIT } from "@aerodb/runtime";
import type { Column } from "../output.ts";
import { showProgress } from "../progress.ts";
import type { Session } from "../session.ts";
import { terminalText } from "../terminal-text.ts";

export interface SweepFlags {
  /** Also what hosts were once told to hold and the catalogue does not know. */
  readonly forgotten?: boolean;
  /** Delete what earlier sweeps have set aside, too. */
  readonly purge?: boolean;
  readonly yes?: boolean;
}

const SWEPT: readonly string[] = ["ORPHAN_DIRECTORY", "ORPHAN_PROCESS", "ORPHAN_PATH"];

const WANTED: readonly Column<Finding>[] = [
  { title: "kind", of: ({ kind }) => kind },
  { title: "host", of: ({ hostId }) => hostId },
  { title: "subject", of: ({ subject }) => subject },
  { title: "what is done", of: ({ kind }) => DONE[kind] ?? "" },
];

const DONE: Readonly<Record<string, string>> = {
  ORPHAN_DIRECTORY: "stopped; data moved to the host's trash",
  FORGOTTEN_INSTANCE: "stopped; data moved to the host's trash; perhaps a tenant's",
  ORPHAN_PROCESS: "ended",
  ORPHAN_PATH: "deleted",
  TRASH: "deleted for good",
};

const RESULTS: readonly Column<SweepResult>[] = [
  { title: "subject", of: ({ subject }) => subject },
  { title: "host", of: ({ hostId }) => hostId },
  { title: "removed", of: ({ removed }) => (removed ? "yes" : "no") },
  { title: "why not", of: ({ reason }) => reason || "-" },
];

/** What of a diagnosis these flags would sweep. */
export function toSweep(
  diagnosis: Pick<DiagnoseResponse, "findings" | "trash">,
  flags: SweepFlags,
): readonly Finding[] {
  const kinds = flags.forgotten === true ? [...SWEPT, "FORGOTTEN_INSTANCE"] : SWEPT;
  const found = diagnosis.findings.filter(({ kind }) => kinds.includes(kind));
  return flags.purge === true ? [...found, ...diagnosis.trash] : found;
}

/** What was found and is left where it is with these flags, hosts that are silent not counted. */
export function leftAlone(
  { findings }: Pick<DiagnoseResponse, "findings">,
  flags: SweepFlags,
): readonly Finding[] {
  const swept = new Set(toSweep({ findings, trash: [] }, flags));
  return findings.filter((each) => !swept.has(each) && each.kind !== "HOST_NOT_AUDITED");
}

/** What is to be said of those, a line each: what it takes is a hand, or a flag. */
export function linesOf(left: readonly Finding[]): readonly string[] {
  if (left.length === 0) return [];
  const foreign = left.filter(({ kind }) => kind.startsWith("FOREIGN_"));
  const forgotten = left.filter(({ kind }) => kind === "FORGOTTEN_INSTANCE").length;
  const hint =
    forgotten === 0
      ? ""
      : ` Instances that the catalogue has forgotten (${forgotten}) are swept with --forgotten:` +
        " find out first whose data they hold.";
  return [
    ...foreign.map(({ detail }) => detail),
    `Found and left alone: ${left.length} (aerodb doctor shows them).${hint}`,
  ];
}

/**
 * Returns the exit code: 1 when something was to be swept and is still there, or a host could not
 * be looked at.
 */
export async function sweepFindings(
  { api, output }: Session,
  diagnosis: DiagnoseResponse,
  flags: SweepFlags,
): Promise<number> {
  const json = output.format === "json";
  const findings = toSweep(diagnosis, flags);
  const silent = diagnosis.findings.filter(({ kind }) => kind === "HOST_NOT_AUDITED");
  const left = leftAlone(diagnosis, flags);
  const others = {
    not_audited: silent.map(({ hostId }) => hostId),
    left: left.map(({ kind, hostId, subject }) => ({ kind, host_id: hostId, subject })),
  };
  const told = [...silent.map(({ detail }) => detail), ...linesOf(left)];
  if (!json) for (const line of told) output.text(terminalText(line));
  const code = silent.length === 0 ? EXIT.ok : EXIT.failed;
  if (findings.length === 0) {
    if (json) output.json({ results: [], ...others });
    else output.text("There is nothing to sweep.");
    return code;
  }
  if (json && flags.yes !== true) {
    throw new Fault("INVALID_ARGUMENT", "As JSON nothing is asked: confirm with --yes.");
  }
  if (!json) output.plain(findings, WANTED);
  if (flags.yes !== true && !(await isConfirmed(findings.length))) {
    output.text("Nothing was removed.");
    return EXIT.failed;
  }
  const named = findings.map(({ kind, hostId, subject }) => ({ kind, hostId, subject }));
  const { results } = await showProgress("sweeping", api.hosts.sweepOrphans({ findings: named }));
  if (json) {
    output.json({
      results: results.map(({ kind, hostId, subject, removed, reason }) => ({
        ...{ kind, host_id: hostId, subject, removed, reason },
      })),
      ...others,
    });
  } else output.plain(results, RESULTS);
  return results.every(({ removed }) => removed) ? code : EXIT.failed;
}

/** Only a person at a terminal can be asked; a program says --yes. */
async function isConfirmed(count: number): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new Fault("INVALID_ARGUMENT", "Nobody can be asked here: confirm with --yes.");
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const things = count === 1 ? "this" : `these ${count}`;
    const answer = await terminal.question(`Remove ${things}? [y/N] `);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}

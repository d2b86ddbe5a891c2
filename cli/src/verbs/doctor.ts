/**
 * `aerodb doctor`: looks for what should not be, in the catalogue, on the hosts and in the home;
 * and has removed what of that belongs to nothing, once somebody has confirmed it.
 */
import { Fault } from "@aerodb/model";
import type { DiagnoseResponse } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { EXIT } from "@aerodb/runtime";
import { type Command, Option } from "commander";
import type { Column } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession, type Session } from "../session.ts";
import { type LocalFinding, localFindings } from "../up/local-findings.ts";
import { type SweepFlags, sweepFindings } from "./sweep.ts";

const COLUMNS: readonly Column<LocalFinding>[] = [
  { title: "kind", of: ({ kind }) => kind },
  { title: "host", of: (finding) => finding.host_id || "-" },
  { title: "subject", of: ({ subject }) => subject },
  { title: "detail", of: ({ detail }) => detail },
];

interface DoctorFlags extends SweepFlags {
  readonly local?: boolean;
  readonly sweep?: boolean;
}

const HELP = `
Exit code 0 when nothing was found, 1 when something was; with --sweep, 0 when all
that it was to remove is gone.
Data of instances is not deleted but moved to the trash of its host, until --purge.
Roles and schemas are never swept: look whose they are, and drop them by hand.`;

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("look for processes, files, roles and rows that belong to nothing")
    .option("--local", "look at this machine's home only, without asking the platform")
    .addOption(new Option("--sweep", "remove orphans from hosts, after asking").conflicts("local"))
    .option("--forgotten", "with --sweep: also instances that the catalogue has forgotten")
    .option("--purge", "with --sweep: also delete what earlier sweeps moved to the trash")
    .option("--yes", "with --sweep: do not ask")
    .addHelpText("after", HELP)
    .action(async (flags: DoctorFlags, command: Command) => {
      if (!flags.sweep && (flags.forgotten || flags.purge || flags.yes)) {
        const sentence = "--forgotten, --purge and --yes go with --sweep.";
        throw new Fault("INVALID_ARGUMENT", sentence);
      }
      const session = openSession(command);
      process.exitCode = await (flags.sweep ? sweep(session, flags) : show(session, flags));
    });
}

async function sweep(session: Session, flags: DoctorFlags): Promise<number> {
  return sweepFindings(session, await diagnose(session), flags);
}

async function show({ api, output, settings }: Session, flags: DoctorFlags): Promise<number> {
  const local = localFindings(settings.home);
  const asked = flags.local === true ? undefined : await diagnose({ api });
  const findings = [...(asked?.findings ?? []).map(asLocal), ...local];
  const code = findings.length === 0 ? EXIT.ok : EXIT.failed;
  const trash = (asked?.trash ?? []).map(asLocal);
  if (output.format === "json") {
    output.json({ findings, ...(asked === undefined ? {} : { trash, ...checkedOf(asked) }) });
    return code;
  }
  if (findings.length > 0) output.plain(findings, COLUMNS);
  else output.text(`Nothing was found${asked === undefined ? "" : `: ${summaryOf(asked)}`}.`);
  if (trash.length > 0) {
    output.text(`In the trash of hosts: ${trash.length} (deleted with --sweep --purge).`);
  }
  return code;
}

function diagnose({ api }: Pick<Session, "api">): Promise<DiagnoseResponse> {
  return showProgress("asking every host", api.hosts.diagnose({}));
}

function summaryOf(answer: DiagnoseResponse): string {
  const { hostsChecked, instancesChecked, tenantsChecked } = answer;
  return `${hostsChecked} hosts, ${instancesChecked} instances, ${tenantsChecked} tenants`;
}

function checkedOf(answer: DiagnoseResponse) {
  return {
    hosts_checked: answer.hostsChecked,
    instances_checked: answer.instancesChecked,
    tenants_checked: answer.tenantsChecked,
  };
}

function asLocal(finding: DiagnoseResponse["findings"][number]): LocalFinding {
  const { kind, hostId, subject, detail } = finding;
  return { kind, host_id: hostId, subject, detail };
}

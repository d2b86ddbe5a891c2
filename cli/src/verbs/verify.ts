/** `aerodb verify isolation`: has it proven that tenants are apart from each other. */
import { createPublicKey, verify, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { Fault, messageOf } from "@aerodb/model";
import {
  type IsolationReport,
  IsolationReportSchema,
  type IsolationRule,
} from "@aerodb/rpc/aerodb/control/v1/isolation_pb.js";
import { EXIT } from "@aerodb/runtime";
import type { Command } from "commander";
import { asJson, type Column, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession, type Session } from "../session.ts";
import { terminalText } from "../terminal-text.ts";

const RULES: readonly Column<IsolationRule>[] = [
  { title: "rule", of: ({ id }) => id },
  { title: "checked", of: ({ subject }) => subject || "-" },
  { title: "holds of", of: ({ checked, held }) => `${held}/${checked}` },
  { title: "does not hold of", of: ({ violations }) => violations.join(", ") || "-" },
];

const TENANTS: readonly Column<IsolationReport>[] = [
  { title: "tenant id", of: ({ tenantId }) => tenantId },
  { title: "isolation", of: ({ isolation }) => isolation },
  { title: "proven", of: ({ proven }) => (proven ? "yes" : "NO") },
  { title: "at", of: ({ provenAt }) => timeText(provenAt) },
  { title: "engine", of: ({ engine }) => engine },
  { title: "does not hold", of: (report) => brokenOf(report).join(" ") || "-" },
];

interface VerifyFlags {
  readonly all?: boolean;
  readonly last?: boolean;
  readonly signature?: string;
}

const HELP = `
Exit code 0 when every rule holds of every tenant, 1 when one does not or could not be asked in
time. A tenant of which a rule does not hold is not served until all hold again.`;

const PAGE_SIZE = 100;
/** It will be no other with the next tenant. */
const REFUSED: readonly Fault["code"][] = ["PERMISSION_DENIED", "UNAUTHENTICATED"];

export function addVerify(program: Command): void {
  program
    .command("verify")
    .description("have promises of the platform proven")
    .command("isolation [tenant]")
    .description("prove that a tenant, or each of all, is apart from all others")
    .option("--all", "every tenant, one after the other")
    .option("--last", "show the newest proof there is, and prove nothing now")
    .option("--signature <file>", "also check the signature, by the CA's certificate in a file")
    .addHelpText("after", HELP)
    .action(async (tenant: string | undefined, flags: VerifyFlags, command: Command) => {
      if ((tenant === undefined) !== (flags.all === true)) {
        throw new Fault("INVALID_ARGUMENT", "Name one tenant, or give --all.");
      }
      const session = openSession(command);
      process.exitCode = await (tenant === undefined
        ? verifyAll(session, flags)
        : verifyOne(session, tenant, flags));
    });
}

async function verifyOne(session: Session, tenant: string, flags: VerifyFlags): Promise<number> {
  const { output } = session;
  const report = await showProgress(`proving ${tenant}`, ask(session, tenant, flags));
  if (output.format === "json") output.one(IsolationReportSchema, report, []);
  else {
    output.list(IsolationReportSchema, [report], TENANTS);
    output.text("");
    output.plain(report.rules, RULES);
    output.text("\nNot hidden by this way of keeping apart:");
    for (const sentence of report.notHidden) output.text(`- ${sentence}`);
  }
  return report.proven ? EXIT.ok : EXIT.failed;
}

/** One of which nothing was found out: neither that it is apart from others nor that it is not. */
interface Unproven {
  readonly tenantId: string;
  readonly because: string;
}

/** Goes on whatever becomes of one: who is slow keeps no other from being proven. */
export async function verifyAll(
  session: Pick<Session, "api" | "output">,
  flags: VerifyFlags,
): Promise<number> {
  const ids = await tenantIds(session);
  const reports: IsolationReport[] = [];
  const unproven: Unproven[] = [];
  for (const [index, id] of ids.entries()) {
    const label = `proving ${index + 1} of ${ids.length}`;
    try {
      reports.push(await showProgress(label, ask(session, id, flags)));
    } catch (error) {
      const code = error instanceof Fault ? error.code : undefined;
      if (code !== undefined && REFUSED.includes(code)) throw error;
      // Who was deleted meanwhile breaks nothing; whose host is away or slow is not proven.
      if (code !== "TENANT_NOT_FOUND") unproven.push({ tenantId: id, because: messageOf(error) });
    }
  }
  show(session, reports, unproven);
  const whole = unproven.length === 0 && reports.every(({ proven }) => proven);
  return whole ? EXIT.ok : EXIT.failed;
}

function show(
  { output }: Pick<Session, "output">,
  reports: readonly IsolationReport[],
  unproven: readonly Unproven[],
): void {
  if (output.format === "json") {
    output.json([
      ...reports.map((report) => asJson(IsolationReportSchema, report)),
      ...unproven.map(({ tenantId, because }) => {
        return { tenant_id: tenantId, proven: null, unproven_because: because };
      }),
    ]);
    return;
  }
  output.list(IsolationReportSchema, reports, TENANTS);
  if (unproven.length === 0) return;
  output.text(`\nNot proven, of ${reports.length + unproven.length}: ${unproven.length}`);
  for (const { tenantId, because } of unproven) {
    output.text(`- ${tenantId}: ${terminalText(because)}`);
  }
}

async function tenantIds({ api }: Pick<Session, "api">): Promise<readonly string[]> {
  const ids: string[] = [];
  let pageToken = "";
  do {
    const page = await api.tenants.listTenants({ pageSize: PAGE_SIZE, pageToken });
    ids.push(...page.tenants.map(({ tenantId }) => tenantId));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return ids;
}

async function ask(
  { api }: Pick<Session, "api">,
  tenant: string,
  { last, signature }: VerifyFlags,
): Promise<IsolationReport> {
  const { report } = await (last === true
    ? api.tenants.getTenantIsolation({ tenant })
    : api.tenants.proveTenantIsolation({ tenant }));
  if (report === undefined) throw new Error("The platform answered without a report.");
  if (signature !== undefined) requireSigned(report, signature);
  return report;
}

/** Throws when the report is not what the platform's CA signed. */
function requireSigned(report: IsolationReport, file: string): void {
  const certificate = new X509Certificate(readCertificate(file));
  const key = createPublicKey(certificate.publicKey.export({ type: "spki", format: "pem" }));
  const signature = Buffer.from(report.signature, "base64");
  const isSigned = verify("sha256", Buffer.from(report.document), key, signature);
  const said = JSON.parse(isSigned ? report.document : "{}") as {
    readonly tenant_id?: string;
    readonly proven?: boolean;
  };
  if (said.tenant_id === report.tenantId && said.proven === report.proven) return;
  const sentence = `The report of ${report.tenantId} was not signed by the CA of ${file}.`;
  throw new Fault("INVALID_ARGUMENT", sentence);
}

function readCertificate(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Fault("INVALID_ARGUMENT", `${file} could not be read: ${messageOf(error)}.`);
  }
}

function brokenOf({ rules }: IsolationReport): readonly string[] {
  return rules.filter(({ checked, held }) => checked !== held).map(({ id }) => id);
}

/** `aerodb tenants …` */
import { createInterface } from "node:readline/promises";
import { Fault, TENANT_STATUSES } from "@aerodb/model";
import { type Tenant, TenantSchema } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { EXIT } from "@aerodb/runtime";
import { type Command, InvalidArgumentError } from "commander";
import { forgetCredentials, keepCredentials } from "../credentials.ts";
import { type Column, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession, type Session } from "../session.ts";

const LIST: readonly Column<Tenant>[] = [
  { title: "name", of: ({ name }) => name },
  { title: "tenant id", of: ({ tenantId }) => tenantId },
  { title: "plan", of: ({ plan }) => plan },
  { title: "isolation", of: ({ isolation }) => isolation },
  { title: "region", of: ({ region }) => region },
  { title: "status", of: statusOf },
  { title: "created", of: ({ createdAt }) => timeText(createdAt) },
];

const ONE: readonly Column<Tenant>[] = [
  ...LIST,
  { title: "reason", of: ({ statusReason }) => statusReason || "-" },
  { title: "quarantined", of: ({ quarantined }) => (quarantined ? "yes" : "no") },
  { title: "labels", of: ({ labels }) => labelsText(labels) },
  { title: "settings", of: ({ settings }) => labelsText(settings) },
  { title: "waits for a restart", of: ({ pendingRestart }) => pendingRestart.join(", ") || "-" },
  { title: "extensions", of: ({ extensions }) => extensions.join(", ") || "-" },
  { title: "url", of: ({ databaseUrl }) => databaseUrl },
  { title: "uri", of: ({ connection }) => connection?.uri || "-" },
  {
    title: "password",
    of: ({ connection }) => connection?.password || "(shown once, at creation)",
  },
];

const PAGE_SIZE = 1_000;

/** Who is active and in quarantine is served by nobody: that comes first. */
function statusOf({ status, quarantined }: Tenant): string {
  return quarantined && status === "active" ? "quarantined" : status;
}

export function addTenants(program: Command): void {
  const tenants = program.command("tenants").description("create, look at and delete tenants");
  addCreate(tenants);
  addList(tenants);
  addGet(tenants);
  addUpdate(tenants);
  addRestart(tenants);
  addExtension(tenants);
  addRotate(tenants);
  addSuspend(tenants);
  addReinstate(tenants);
  addDelete(tenants);
}

interface CreateFlags {
  readonly plan: string;
  readonly region?: string;
  readonly isolation?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly requestId?: string;
}

function addCreate(tenants: Command): void {
  tenants
    .command("create <name>")
    .description("create a tenant and show its connection; returns when it accepts connections")
    .option("--plan <plan>", "the plan: see aerodb plans list", "free")
    .option("--region <region>", "the region (default: the only one)")
    .option("--isolation <model>", "schema, database or cluster (default: the plan's)")
    .option("--label <key=value>", "a label; may be repeated", addLabel)
    .option("--request-id <id>", "repeating a request with the same id creates nothing twice")
    .addHelpText("after", "\nExample:\n  aerodb tenants create acme --plan pro --label team=web")
    .action(async (name: string, flags: CreateFlags, command: Command) => {
      const session = openSession(command);
      const asked = session.api.tenants.createTenant({
        name,
        plan: flags.plan,
        region: flags.region ?? "",
        isolation: flags.isolation ?? "",
        labels: flags.label ?? {},
        requestId: flags.requestId ?? "",
      });
      const { tenant } = await showProgress(`creating ${name}`, asked);
      showAndKeep(session, tenant);
    });
}

interface ListFlags {
  readonly plan?: string;
  readonly status?: string;
  readonly isolation?: string;
  readonly prefix?: string;
  readonly limit?: number;
}

function addList(tenants: Command): void {
  tenants
    .command("list")
    .description("list tenants")
    .option("--plan <plan>", "of this plan only")
    .option("--status <status>", `of this status only: ${TENANT_STATUSES.slice(0, -1).join(", ")}`)
    .option("--isolation <model>", "of this isolation model only")
    .option("--prefix <text>", "whose name starts with this only")
    .option("--limit <n>", "at most this many", parseCount)
    .addHelpText("after", "\nExample:\n  aerodb tenants list --plan pro --output json")
    .action(async (flags: ListFlags, command: Command) => {
      const session = openSession(command);
      const rows = await showProgress("listing tenants", listAll(session, flags));
      session.output.list(TenantSchema, rows, LIST);
    });
}

async function listAll({ api }: Session, flags: ListFlags): Promise<readonly Tenant[]> {
  const limit = flags.limit ?? Number.POSITIVE_INFINITY;
  const rows: Tenant[] = [];
  let pageToken = "";
  do {
    const page = await api.tenants.listTenants({
      pageSize: Math.min(PAGE_SIZE, limit - rows.length),
      pageToken,
      plan: flags.plan ?? "",
      status: flags.status ?? "",
      isolation: flags.isolation ?? "",
      namePrefix: flags.prefix ?? "",
    });
    rows.push(...page.tenants);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && rows.length < limit);
  return rows;
}

function addGet(tenants: Command): void {
  tenants
    .command("get <tenant>")
    .description("show one tenant, by name or id")
    .action(async (tenant: string, _flags: object, command: Command) => {
      const session = openSession(command);
      const answer = await showProgress(
        `looking up ${tenant}`,
        session.api.tenants.getTenant({ tenant }),
      );
      session.output.one(TenantSchema, present(answer.tenant), ONE);
    });
}

interface UpdateFlags {
  readonly plan?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly set?: Readonly<Record<string, string>>;
  readonly restart?: boolean;
}

function addUpdate(tenants: Command): void {
  tenants
    .command("update <tenant>")
    .description("change a tenant's plan, labels, or settings of its own Postgres")
    .option("--plan <plan>", "another plan that allows the tenant's isolation model")
    .option("--label <key=value>", "set a label; an empty value removes it", addLabel)
    .option("--set <name=value>", "set a setting; an empty value puts it back", addLabel)
    .option("--restart", "restart its server if something waits for that")
    .addHelpText(
      "after",
      "\nExample:\n  aerodb tenants update acme --set work_mem=16MB --label team=",
    )
    .action(async (tenant: string, flags: UpdateFlags, command: Command) => {
      const session = openSession(command);
      if (Object.keys(flags).length === 0) {
        const sentence = "There is nothing to change: give --plan, --label, --set or --restart.";
        throw new Fault("INVALID_ARGUMENT", sentence);
      }
      const asked = session.api.tenants.updateTenant({
        tenant,
        labels: flags.label ?? {},
        settings: flags.set ?? {},
        apply: flags.restart === true ? "restart" : "",
        ...(flags.plan === undefined ? {} : { plan: flags.plan }),
      });
      const answer = await showProgress(`updating ${tenant}`, asked);
      session.output.one(TenantSchema, present(answer.tenant), ONE);
    });
}

function addRestart(tenants: Command): void {
  tenants
    .command("restart <tenant>")
    .description(
      "restart a tenant's own server; sessions wait at the end of a transaction, and go on",
    )
    .action(async (tenant: string, _flags: object, command: Command) => {
      const session = openSession(command);
      const asked = session.api.tenants.restartTenant({ tenant });
      const answer = await showProgress(`restarting ${tenant}`, asked);
      session.output.one(TenantSchema, present(answer.tenant), ONE);
    });
}

function addExtension(tenants: Command): void {
  tenants
    .command("extend <tenant> <extension>")
    .description("install an extension of Postgres for a tenant, for example pgcrypto")
    .action(async (tenant: string, name: string, _flags: object, command: Command) => {
      const session = openSession(command);
      const asked = session.api.tenants.installExtension({ tenant, name });
      const answer = await showProgress(`installing ${name} for ${tenant}`, asked);
      session.output.one(TenantSchema, present(answer.tenant), ONE);
    });
}

function addRotate(tenants: Command): void {
  tenants
    .command("rotate <tenant>")
    .description("give a tenant a new password and show it; the old one no longer works")
    .action(async (tenant: string, _flags: object, command: Command) => {
      const session = openSession(command);
      const asked = session.api.tenants.rotateCredentials({ tenant });
      const answer = await showProgress(`rotating the password of ${tenant}`, asked);
      showAndKeep(session, answer.tenant);
    });
}

function addSuspend(tenants: Command): void {
  tenants
    .command("suspend <tenant>")
    .description("refuse a tenant service: its sessions end and it cannot log in; its data stays")
    .requiredOption("--reason <text>", "why, as the tenant's own key may read it")
    .addHelpText("after", '\nExample:\n  aerodb tenants suspend acme --reason "unpaid since May"')
    .action(async (tenant: string, { reason }: { readonly reason: string }, command: Command) => {
      const session = openSession(command);
      const asked = session.api.tenants.suspendTenant({ tenant, reason });
      const answer = await showProgress(`suspending ${tenant}`, asked);
      session.output.one(TenantSchema, present(answer.tenant), ONE);
    });
}

function addReinstate(tenants: Command): void {
  tenants
    .command("reinstate <tenant>")
    .description("give a suspended tenant service back; its password is the one that it had")
    .action(async (tenant: string, _flags: object, command: Command) => {
      const session = openSession(command);
      const asked = session.api.tenants.reinstateTenant({ tenant });
      const answer = await showProgress(`reinstating ${tenant}`, asked);
      session.output.one(TenantSchema, present(answer.tenant), ONE);
    });
}

function addDelete(tenants: Command): void {
  tenants
    .command("delete <tenant>")
    .description("delete a tenant and all its data, for good")
    .option("-y, --yes", "do not ask")
    .addHelpText("after", "\nExample:\n  aerodb tenants delete acme --yes")
    .action(async (tenant: string, flags: { readonly yes?: boolean }, command: Command) => {
      const session = openSession(command);
      const found = await showProgress(
        `looking up ${tenant}`,
        session.api.tenants.getTenant({ tenant }),
      );
      const { tenantId, name } = present(found.tenant);
      if (flags.yes !== true && !(await confirms(name))) {
        process.stderr.write(`aerodb: Not deleted: that is not the name. Or give --yes.\n`);
        process.exitCode = EXIT.refused;
        return;
      }
      const asked = session.api.tenants.deleteTenant({ tenant: tenantId });
      const answer = await showProgress(`deleting ${name}`, asked);
      forgetCredentials(session.settings.home, tenantId);
      if (session.output.format === "table") session.output.text(`${name} is deleted.`);
      else session.output.one(TenantSchema, present(answer.tenant), ONE);
    });
}

async function confirms(name: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const over = new AbortController();
  terminal.once("close", () => over.abort());
  try {
    const question = `This deletes all data of ${name}. Type its name to go on: `;
    return (await terminal.question(question, { signal: over.signal })).trim() === name;
  } catch {
    return false;
  } finally {
    terminal.close();
  }
}

function showAndKeep({ output, settings }: Session, answer: Tenant | undefined): void {
  const tenant = present(answer);
  const { tenantId, name, connection } = tenant;
  if (connection !== undefined && connection.password !== "") {
    keepCredentials(settings.home, { tenantId, name, uri: connection.uri });
  }
  output.one(TenantSchema, tenant, ONE);
}

function present(tenant: Tenant | undefined): Tenant {
  if (tenant === undefined) throw new Error("The platform answered without a tenant.");
  return tenant;
}

function addLabel(text: string, before: Readonly<Record<string, string>> = {}) {
  const [key = "", ...rest] = text.split("=");
  if (key === "" || rest.length === 0) throw new InvalidArgumentError("Write it as key=value.");
  return { ...before, [key]: rest.join("=") };
}

function parseCount(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a number.");
  return Number(text);
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return pairs.join(" ") || "-";
}

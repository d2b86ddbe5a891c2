/** `aerodb quotas …` and `aerodb explain quota`: how far tenants are from their quotas. */

import { grouped, messageOf, moneyText } from "@aerodb/model";
import {
  type LargestRelation,
  type QuotaStanding,
  type TenantQuotas,
  TenantQuotasSchema,
} from "@aerodb/rpc/aerodb/control/v1/quota_service_pb.js";
import { type Command, InvalidArgumentError } from "commander";
import { parseAmount } from "../amount.ts";
import { SECONDS_OF } from "../durations.ts";
import { parseDollars } from "../money-argument.ts";
import { type Column, type Output, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession, type Session } from "../session.ts";

const QUOTAS: readonly Column<QuotaStanding>[] = [
  { title: "resource", of: ({ resource }) => resource },
  { title: "used", of: ({ resource, used }) => amountText(resource, used) },
  {
    title: "quota",
    of: ({ resource, quota }) => (quota === undefined ? "unlimited" : amountText(resource, quota)),
  },
  { title: "of the", of: ({ source }) => (source === "override" ? "tenant" : "plan") },
  { title: "stage", of: ({ stage }) => stage },
  { title: "since", of: ({ since }) => timeText(since) },
];

const RELATIONS: readonly Column<LargestRelation>[] = [
  { title: "bytes", of: ({ bytes }) => grouped(String(bytes)) },
  { title: "kind", of: ({ kind }) => kind },
  { title: "name", of: ({ schema, name }) => (schema ? `${schema}.${name}` : name) },
  { title: "of the table", of: ({ table }) => table || "-" },
];

const HELP = `
Quotas that are not given are those of the tenant's plan, the ones it had before included.
An amount may end with KB, MB, GB or TB (1,024-based), or be "unlimited".
A tenant that stays at its storage, file storage or spend cap is suspended after the platform's
time, or one of its own.
The spend cap is in dollars: what the running bill may come to before credit notes.

Examples:
  aerodb quotas set acme --storage 2GB
  aerodb quotas set acme --storage unlimited --api-requests 500000
  aerodb quotas set acme --spend-cap 40.00
  aerodb quotas set acme --storage 2GB --suspend-after 7d
  aerodb quotas set acme                       # all as in its plan again`;

const SPEND = "spend_micro_usd_per_month";

/** The flag of each resource. */
const FLAGS = [
  ["storage", "storage_bytes"],
  ["apiRequests", "api_requests_per_month"],
  ["fileStorage", "file_storage_bytes"],
  ["realtimeConnections", "realtime_connections"],
  ["spendCap", SPEND],
] as const;

type Flags = { readonly [Flag in (typeof FLAGS)[number][0]]?: Quota } & {
  readonly suspendAfter?: Grace;
};

/** Without seconds: never. */
interface Grace {
  readonly seconds?: bigint;
}

/** Undefined: unlimited. */
interface Quota {
  readonly quota: bigint | undefined;
}

export function addQuotas(program: Command): void {
  const quotas = program.command("quotas").description("what tenants may use at most");
  quotas
    .command("show <tenant>")
    .description("show the quotas of a tenant and how much of them it uses")
    .action(async (tenant: string, _: unknown, command: Command) => {
      const { api, output } = openSession(command);
      const asking = api.quotas.getTenantQuotas({ tenant });
      show(output, (await showProgress(`adding up what ${tenant} uses`, asking)).quotas);
    });
  quotas
    .command("set <tenant>")
    .description("give a tenant quotas of its own in place of those it had")
    .option("--storage <amount>", "tables, indexes and large objects", parseQuota)
    .option("--api-requests <count>", "API requests in a month", parseQuota)
    .option("--file-storage <amount>", "files", parseQuota)
    .option("--realtime-connections <count>", "realtime connections at once", parseQuota)
    .option("--spend-cap <dollars>", "what the bill of a month may come to", parseCap)
    .option("--suspend-after <time>", "at a quota: 36h, 7d, or never", parseGrace)
    .addHelpText("after", HELP)
    .action(async (tenant: string, flags: Flags, command: Command) => {
      const { api, output } = openSession(command);
      const overrides = FLAGS.flatMap(([flag, resource]) => {
        const amount = flags[flag];
        if (amount === undefined) return [];
        return [{ resource, ...(amount.quota !== undefined && { quota: amount.quota }) }];
      });
      const { suspendAfter: grace } = flags;
      const ask = { tenant, overrides, ...(grace !== undefined && { grace }) };
      const asking = api.quotas.setTenantQuotas(ask);
      show(output, (await showProgress(`setting quotas of ${tenant}`, asking)).quotas);
    });
  addExplain(program);
}

function addExplain(program: Command): void {
  program
    .command("explain")
    .description("say why something is as it is")
    .command("quota <tenant>")
    .description("say how far a tenant is from its quotas, what follows, and what would free room")
    .action(async (tenant: string, _: unknown, command: Command) => {
      const { api, output } = openSession(command);
      const asking = api.quotas.getTenantQuotas({ tenant });
      const { quotas } = await showProgress(`adding up what ${tenant} uses`, asking);
      if (output.format === "json") {
        show(output, quotas);
        return;
      }
      for (const standing of quotas?.quotas ?? []) output.text(explainedText(standing));
      output.text("");
      await showLargest(api, output, tenant);
    });
}

/** What is used is as old as its reading: who just freed room has to know. */
export function explainedText({ resource, since, usedAt, explanation }: QuotaStanding): string {
  const times = [
    ...(since === undefined ? [] : [`since ${timeText(since)}`]),
    usedAt === undefined ? "not read yet" : `read ${timeText(usedAt)}`,
  ];
  return `${resource} (${times.join(", ")}): ${explanation}`;
}

/** `36h` or `7d`; `never`. */
function parseGrace(text: string): Grace {
  if (text === "never") return {};
  const [, digits, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const length = SECONDS_OF[unit];
  if (digits === undefined || length === undefined) {
    throw new InvalidArgumentError('Write a time such as 36h or 7d, or "never".');
  }
  return { seconds: BigInt(digits) * BigInt(length) };
}

/** An agent that is away keeps nobody from the rest. */
async function showLargest(api: Session["api"], output: Output, tenant: string): Promise<void> {
  const asking = api.quotas.listLargestRelations({ tenant });
  try {
    const { relations } = await showProgress("asking its host what takes most room", asking);
    output.plain(relations, RELATIONS);
  } catch (error) {
    output.text(`What takes most room is not known: ${messageOf(error)}`);
  }
}

function show(output: Output, quotas: TenantQuotas | undefined): void {
  if (quotas === undefined) return;
  if (output.format === "json") output.one(TenantQuotasSchema, quotas, []);
  else {
    output.plain(quotas.quotas, QUOTAS);
    output.text(`\n${graceText(quotas)}`);
  }
}

function parseQuota(text: string): Quota {
  return { quota: text === "unlimited" ? undefined : parseAmount(text) };
}

function parseCap(text: string): Quota {
  return { quota: text === "unlimited" ? undefined : parseDollars(text) };
}

function amountText(resource: string, amount: bigint): string {
  return resource === SPEND ? moneyText(amount) : String(amount);
}

/** In the largest unit that it is a whole number of, as `--suspend-after` takes it. */
function spanText(seconds: bigint): string {
  const units = Object.entries(SECONDS_OF).map(([unit, length]) => [unit, BigInt(length)] as const);
  const [unit, length] = units.findLast((each) => seconds % each[1] === 0n) ?? ["s", 1n];
  return `${seconds / length}${unit}`;
}

function graceText({ grace, graceSource, suspendedByQuota }: TenantQuotas): string {
  if (suspendedByQuota)
    return "It is suspended for a quota: `aerodb explain quota` says what ends it.";
  const whose = graceSource === "override" ? "its own" : "the platform's";
  const seconds = grace?.seconds;
  const time = seconds === undefined ? "never" : `after ${spanText(seconds)}`;
  return `Suspended when it stays at a quota: ${time} (${whose} setting).`;
}

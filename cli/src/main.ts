/**
 * `aerodb`: one command for everything. Reads the command line, runs a verb, ends with its code.
 */
import { Fault, messageOf } from "@aerodb/model";
import { EXIT, EXIT_CODES_TEXT, exitCodeOf } from "@aerodb/runtime";
import { ConnectError } from "@connectrpc/connect";
import { Command, CommanderError, Option } from "commander";
import { reasonsOf } from "./reasons.ts";
import { addAvailability } from "./verbs/availability.ts";
import { addBilling } from "./verbs/billing.ts";
import { addCost } from "./verbs/cost.ts";
import { addDoctor } from "./verbs/doctor.ts";
import { addEvents } from "./verbs/events.ts";
import { addFleet } from "./verbs/fleet.ts";
import { addGateway } from "./verbs/gateway.ts";
import { addKeys } from "./verbs/keys.ts";
import { addLogs } from "./verbs/logs.ts";
import { addMetrics } from "./verbs/metrics.ts";
import { addPieces } from "./verbs/pieces.ts";
import { addPricing } from "./verbs/pricing.ts";
import { addPsql } from "./verbs/psql.ts";
import { addQuotas } from "./verbs/quotas.ts";
import { addSharedTables } from "./verbs/shared-tables.ts";
import { addStatus } from "./verbs/status.ts";
import { addTenants } from "./verbs/tenants.ts";
import { addUp } from "./verbs/up.ts";
import { addUsage } from "./verbs/usage.ts";
import { addVerify } from "./verbs/verify.ts";
import { addVersion, ownVersion } from "./verbs/version.ts";

const EXAMPLES = `
Examples:
  aerodb up                                     run the platform on this machine
  aerodb tenants create acme --plan pro         make a tenant and show its connection
  aerodb psql acme                              connect to it
  aerodb tenants list --output json             for programs

${EXIT_CODES_TEXT}`;

function createProgram(): Command {
  const program = new Command("aerodb")
    .description("A self-hosted platform of Postgres tenants.")
    .version(ownVersion())
    .option("--home <directory>", "where state and keys are (AERODB_HOME; default: ./.aerodb)")
    .option("--url <url>", "the API (AERODB_URL; default: http://127.0.0.1:8080)")
    .option("--key <key>", "the key (AERODB_KEY; default: the one in the home)")
    .addOption(
      new Option("--output <format>", "how to print").choices(["table", "json"]).default("table"),
    )
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError("(see aerodb --help)")
    .exitOverride()
    .addHelpText("after", EXAMPLES);
  for (const add of [addUp, addPieces, addTenants, addPsql, addSharedTables, addFleet])
    add(program);
  for (const add of [addKeys, addEvents, addUsage, addQuotas, addBilling, addPricing, addCost])
    add(program);
  for (const add of [
    addAvailability,
    addGateway,
    addLogs,
    addMetrics,
    addStatus,
    addDoctor,
    addVerify,
    addVersion,
  ])
    add(program);
  return program;
}

async function run(): Promise<void> {
  try {
    await createProgram().parseAsync();
  } catch (error) {
    process.exitCode = explain(error);
  }
}

/** Says what went wrong in one sentence. Returns the exit code. */
function explain(thrown: unknown): number {
  // Commander has said it already; asking for help is no mistake.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const error = thrown instanceof ConnectError ? (thrown.cause ?? thrown) : thrown;
  process.stderr.write(`aerodb: ${messageOf(error)}\n`);
  if (error instanceof Fault) {
    for (const reason of reasonsOf(error)) process.stderr.write(`  ${reason}\n`);
  }
  return exitCodeOf(error);
}

// Who reads may go before all is written: `aerodb tenants list | head -1`. That is no failure, and
// what runs the platform must outlive its terminal.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "EIO") throw error;
  });
}

await run();

/** `aerodb up`: its flags, and the environment variables that say the same. */
import type { Command } from "commander";
import { readUpSettings, type UpFlags } from "../config.ts";

const VARIABLES = `
Environment: AERODB_HOME, AERODB_REST_PORT, AERODB_GRPC_PORT, AERODB_PG_PORT,
  AERODB_PG_POOLED_PORT, AERODB_LINK_PORT,
  AERODB_AGENTS, AERODB_REGION, AERODB_BASE_DOMAIN, AERODB_LOG_LEVEL say what the flags say;
  AERODB_PLATFORM_KEY presets the platform key (at least 16 characters);
  AERODB_CATALOGUE_URL puts the catalogue into a Postgres database of yours;
  AERODB_ENGINE_DIRECTORY keeps engines and templates for several homes, not in each;
  AERODB_FAILPOINTS_CONTROL, _AGENT, _GATEWAY break a process at a named step, for tests.

Examples:
  aerodb up
  aerodb up --agents 3 --home /srv/aerodb --rest-port 8081`;

export function addUp(program: Command): void {
  program
    .command("up")
    .description("run the whole platform on this machine until Ctrl-C")
    .option("--rest-port <port>", "REST (default: 8080)")
    .option("--grpc-port <port>", "gRPC (default: 9090)")
    .option("--pg-port <port>", "Postgres (default: 6432)")
    .option("--pg-pooled-port <port>", "Postgres, in turn with others (default: 6543)")
    .option("--link-port <port>", "where agents and gateways dial in (default: 9091)")
    .option("--agents <n>", "how many hosts this machine plays (default: 1)")
    .option("--region <region>", "the region those hosts are in (default: us-east-1)")
    .option("--base-domain <domain>", "what tenants' host names end with (default: localhost)")
    .option("--log-level <level>", "trace, debug, info, warn, error or silent (default: info)")
    .addHelpText("after", VARIABLES)
    .action(async (_flags: object, command: Command) => {
      const { output: _, url: __, key: ___, ...flags } = command.optsWithGlobals<Given>();
      const settings = readUpSettings(flags);
      // The verbs have no use for what this brings in, and start quicker without.
      const { up } = await import("../up/up.ts");
      process.exit(await up(settings));
    });
}

type Given = UpFlags & { readonly output?: string; readonly url?: string; readonly key?: string };

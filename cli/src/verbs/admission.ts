/**
 * `aerodb hosts token|revoke|remove …` and `aerodb gateways …`: who may be part of the platform.
 */
import { Fault } from "@aerodb/model";
import {
  type Gateway,
  GatewaySchema,
  type JoinToken,
  JoinTokenSchema,
  RevokeGatewayResponseSchema,
  RevokeHostResponseSchema,
} from "@aerodb/rpc/aerodb/control/v1/admission_service_pb.js";
import {
  type CreateJoinTokenResponse,
  CreateJoinTokenResponseSchema,
  DeleteHostResponseSchema,
} from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { type Command, InvalidArgumentError } from "commander";
import type { Api } from "../api.ts";
import { SECONDS_OF } from "../durations.ts";
import { type Column, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";

const CREATED: readonly Column<CreateJoinTokenResponse>[] = [
  { title: "token id", of: ({ tokenId }) => tokenId },
  { title: "join token", of: ({ joinToken }) => joinToken },
  { title: "expires", of: ({ expiresAt }) => timeText(expiresAt) },
];

const TOKENS: readonly Column<JoinToken>[] = [
  { title: "token id", of: ({ tokenId }) => tokenId },
  { title: "kind", of: ({ kind }) => kind },
  { title: "region", of: ({ region }) => region || "-" },
  { title: "labels", of: ({ labels }) => labelsText(labels) },
  { title: "for", of: ({ rejoins }) => rejoins || "a new one" },
  { title: "created", of: ({ createdAt }) => timeText(createdAt) },
  { title: "expires", of: ({ expiresAt }) => timeText(expiresAt) },
];

const GATEWAYS: readonly Column<Gateway>[] = [
  { title: "gateway id", of: ({ gatewayId }) => gatewayId },
  { title: "name", of: ({ name }) => name },
  { title: "connected", of: ({ connected }) => (connected ? "yes" : "no") },
  { title: "last seen", of: ({ lastSeenAt }) => timeText(lastSeenAt) },
  { title: "version", of: ({ version }) => version || "-" },
  { title: "revoked", of: ({ revokedAt }) => timeText(revokedAt) },
];

const EXAMPLES = `
Examples:
  aerodb hosts token create --region eu-west-1 --label rack=a1 --ttl 15m
  aerodb hosts token create --kind gateway
  aerodb hosts token create --host host-1        it has expired or was revoked, and joins again`;

const REVOKE_HELP = `
Control and gateways refuse the host from then on. What is open already goes on: the host's servers
run, and sessions with them end when their clients leave. To end those, stop the agent on the
machine, or the machine.
It joins again with a token of \`aerodb hosts token create --host <host>\`.`;

interface TokenFlags {
  readonly kind: string;
  readonly region?: string;
  readonly label: Readonly<Record<string, string>>;
  readonly ttl: number;
  readonly host?: string;
  readonly gateway?: string;
}

/** Adds the verbs that are about hosts below `aerodb hosts`. */
export function addAdmission(program: Command, hosts: Command): void {
  addTokens(hosts);
  hosts
    .command("revoke <host>")
    .description("end a host's identity at once; its tenants are not reached any more")
    .addHelpText("after", REVOKE_HELP)
    .option("--reason <text>", "why, for those who look later", "")
    .action(async (host: string, { reason }: { readonly reason: string }, command: Command) => {
      const { api, output } = openSession(command);
      const asked = api.admission.revokeHost({ host, reason });
      const answer = await showProgress(`revoking ${host}`, asked);
      output.one(RevokeHostResponseSchema, answer, [
        { title: "host id", of: ({ hostId }) => hostId },
        { title: "revoked", of: ({ revokedAt }) => timeText(revokedAt) },
      ]);
    });
  addRemove(hosts);
  addGateways(program);
}

function addRemove(hosts: Command): void {
  hosts
    .command("remove <host>")
    .description("forget a host that holds no tenants; its agent is stopped or gone")
    .option("--lost", "the machine and its data are gone for good: its tenants have failed", false)
    .action(async (host: string, { lost }: { readonly lost: boolean }, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress(`removing ${host}`, api.hosts.deleteHost({ host, lost }));
      output.one(DeleteHostResponseSchema, answer, [
        { title: "host id", of: ({ hostId }) => hostId },
        { title: "name", of: ({ name }) => name },
        { title: "removed", of: ({ removedAt }) => timeText(removedAt) },
        { title: "lost tenants", of: ({ lostTenants }) => String(lostTenants) },
      ]);
    });
}

function addTokens(hosts: Command): void {
  const token = hosts.command("token").description("tokens with which machines join");
  token
    .command("create")
    .description("make a token with which one agent, or gateway, joins once")
    .option("--kind <kind>", "host or gateway", "host")
    .option("--region <region>", "the region of the host (default: the only one with hosts)")
    .option("--label <name=value>", "a label for the host; may be repeated", addLabel, {})
    .option("--ttl <time>", "how long it may be used: 90s, 15m, 2h, or seconds", parseTime, 900)
    .option("--host <host>", "the host that joins again, by name or id")
    .option("--gateway <id>", "the gateway that joins again")
    .addHelpText("after", EXAMPLES)
    .action(createToken);
  token
    .command("list")
    .description("list tokens that can still be used")
    .action(async (_flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress("listing tokens", api.admission.listJoinTokens({}));
      output.list(JoinTokenSchema, answer.joinTokens, TOKENS);
    });
  token
    .command("revoke <token-id>")
    .description("end a token at once; who has joined with it stays")
    .action(async (tokenId: string, _flags: object, command: Command) => {
      const { api, output } = openSession(command);
      await showProgress("revoking the token", api.admission.revokeJoinToken({ tokenId }));
      if (output.format === "table") output.text(`${tokenId} is revoked.`);
      else output.json({ token_id: tokenId, revoked: true });
    });
}

function addGateways(program: Command): void {
  const gateways = program.command("gateways").description("what the outside reaches");
  gateways
    .command("list")
    .description("list gateways")
    .action(async (_flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress("listing gateways", api.admission.listGateways({}));
      output.list(GatewaySchema, answer.gateways, GATEWAYS);
    });
  gateways
    .command("revoke <gateway-id>")
    .description("end a gateway's identity at once")
    .option("--reason <text>", "why, for those who look later", "")
    .action(async (id: string, { reason }: { readonly reason: string }, command: Command) => {
      const { api, output } = openSession(command);
      const asked = api.admission.revokeGateway({ gatewayId: id, reason });
      const answer = await showProgress(`revoking ${id}`, asked);
      output.one(RevokeGatewayResponseSchema, answer, [
        { title: "gateway id", of: ({ gatewayId }) => gatewayId },
        { title: "revoked", of: ({ revokedAt }) => timeText(revokedAt) },
      ]);
    });
}

async function createToken(flags: TokenFlags, command: Command): Promise<void> {
  const { api, output } = openSession(command);
  const rejoins = flags.host ?? flags.gateway ?? "";
  const kind = rejoins === "" ? flags.kind : flags.host === undefined ? "gateway" : "host";
  const isNewHost = kind === "host" && rejoins === "";
  const region = isNewHost ? (flags.region ?? (await onlyRegion(api))) : "";
  const asked = { kind, region, ttlSeconds: flags.ttl, labels: flags.label, rejoins };
  const answer = await showProgress("making a join token", api.hosts.createJoinToken(asked));
  output.one(CreateJoinTokenResponseSchema, answer, CREATED);
  if (output.format === "table") {
    const piece = kind === "host" ? "agent" : "gateway";
    output.text(`\nOn the machine that joins${rejoins === "" ? "" : " again"}:`);
    output.text(
      `  aerodb ${piece} --control ${answer.apiAddress} --join-token ${answer.joinToken}`,
    );
  }
}

async function onlyRegion(api: Api): Promise<string> {
  const { regions } = await api.regions.listRegions({});
  const used = regions.filter(({ hosts }) => hosts > 0);
  const [region, another] = used.length === 0 ? regions : used;
  if (region !== undefined && another === undefined) return region.name;
  const known =
    regions.length === 0 ? "" : ` Known: ${regions.map(({ name }) => name).join(", ")}.`;
  throw new Fault("INVALID_ARGUMENT", `Say with --region which region the host is in.${known}`);
}

function addLabel(text: string, labels: Readonly<Record<string, string>>) {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new InvalidArgumentError("It must be like rack=a1.");
  }
  return { ...labels, [name]: value };
}

function parseTime(text: string): number {
  const [, digits, unit = ""] = /^([1-9][0-9]{0,5})([smh]?)$/.exec(text) ?? [];
  const seconds = Number(digits) * (SECONDS_OF[unit] ?? 1);
  if (seconds <= 86_400) return seconds;
  throw new InvalidArgumentError("It must be a time like 90s, 15m or 2h, at most 24h.");
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return pairs.sort().join(" ") || "-";
}

/** `aerodb hosts|regions|operations …`: what the platform consists of and does. */
import { type Host, HostSchema } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import {
  type Operation,
  OperationSchema,
} from "@aerodb/rpc/aerodb/control/v1/operation_service_pb.js";
import { type Region, RegionSchema } from "@aerodb/rpc/aerodb/control/v1/region_service_pb.js";
import type { Command } from "commander";
import { parseLimit } from "../limit.ts";
import { type Column, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";
import { addAdmission } from "./admission.ts";
import { describeHost, latelyOf, sectionsText } from "./host-description.ts";
import { addPlans } from "./plans.ts";

/** Events that are shown of a host. */
const LATELY = 5;

const HOSTS: readonly Column<Host>[] = [
  { title: "name", of: ({ name }) => name },
  { title: "host id", of: ({ hostId }) => hostId },
  { title: "region", of: ({ region }) => region },
  { title: "connected", of: connectedText },
  { title: "last seen", of: ({ lastSeenAt }) => timeText(lastSeenAt) },
  {
    title: "memory",
    of: (host) => `${host.reserved?.memoryMib ?? 0}/${host.capacity?.memoryMib ?? 0} MiB`,
  },
  { title: "instances", of: ({ instances }) => String(instances) },
  { title: "tenants", of: ({ tenants }) => String(tenants) },
  { title: "engines", of: ({ engines }) => engines.join(" ") || "-" },
  { title: "capabilities", of: ({ capabilities }) => capabilities.join(" ") || "-" },
];

const REGIONS: readonly Column<Region>[] = [
  { title: "name", of: ({ name }) => name },
  { title: "hosts", of: ({ hosts }) => String(hosts) },
  { title: "connected", of: ({ connectedHosts }) => String(connectedHosts) },
];

const OPERATIONS: readonly Column<Operation>[] = [
  { title: "operation id", of: ({ operationId }) => operationId },
  { title: "kind", of: ({ kind }) => kind },
  { title: "tenant id", of: ({ tenantId }) => tenantId },
  { title: "done", of: ({ done }) => (done ? "yes" : "no") },
  { title: "started", of: ({ createdAt }) => timeText(createdAt) },
  { title: "ended", of: ({ doneAt }) => timeText(doneAt) },
  { title: "error", of: ({ error }) => error || "-" },
];

const OPERATION: readonly Column<Operation>[] = [
  ...OPERATIONS,
  { title: "deadline", of: ({ deadlineAt }) => timeText(deadlineAt) },
  { title: "steps", of: ({ steps }) => steps.map(({ name }) => name).join(" → ") || "-" },
];

export function addFleet(program: Command): void {
  addHosts(program);
  addRegions(program);
  addPlans(program);
  addOperations(program);
}

function addHosts(program: Command): void {
  const hosts = program.command("hosts").description("the machines and what they hold");
  hosts
    .command("list")
    .description("list hosts")
    .action(async (_flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress("listing hosts", api.hosts.listHosts({}));
      output.list(HostSchema, answer.hosts, HOSTS);
    });
  hosts
    .command("get <host>")
    .description("show one host, by name or id")
    .action(async (host: string, _flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress(`looking up ${host}`, api.hosts.getHost({ host }));
      if (answer.host !== undefined) output.one(HostSchema, answer.host, HOSTS);
    });
  hosts
    .command("describe <host>")
    .description("show all that is known of one host, by name or id")
    .action(async (host: string, _flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress(`looking up ${host}`, api.hosts.getHost({ host }));
      if (answer.host === undefined) return;
      if (output.format === "json") return output.one(HostSchema, answer.host, HOSTS);
      const asked = { subject: answer.host.hostId, pageSize: LATELY };
      const { events } = await showProgress("listing events", api.events.listEvents(asked));
      output.text(sectionsText([...describeHost(answer.host), latelyOf(events)]));
    });
  addAdmission(program, hosts);
}

function connectedText({ connected, revokedAt }: Host): string {
  if (revokedAt !== undefined) return "revoked";
  return connected ? "yes" : "no";
}

function addRegions(program: Command): void {
  const regions = program.command("regions").description("where hosts are");
  regions
    .command("list")
    .description("list regions")
    .action(async (_flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress("listing regions", api.regions.listRegions({}));
      output.list(RegionSchema, answer.regions, REGIONS);
    });
}

function addOperations(program: Command): void {
  const operations = program.command("operations").description("long changes and their steps");
  operations
    .command("list")
    .description("list operations, newest first")
    .option("--tenant <id>", "of this tenant only")
    .option("--limit <n>", "at most this many", parseLimit, 50)
    .action(
      async (flags: { readonly tenant?: string; readonly limit: number }, command: Command) => {
        const { api, output } = openSession(command);
        const asked = { pageSize: Math.min(flags.limit, 1_000), tenantId: flags.tenant ?? "" };
        const answer = await showProgress(
          "listing operations",
          api.operations.listOperations(asked),
        );
        output.list(OperationSchema, answer.operations, OPERATIONS);
      },
    );
  operations
    .command("get <operation>")
    .description("show one operation with its steps")
    .action(async (operationId: string, _flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const asked = api.operations.getOperation({ operationId });
      const answer = await showProgress("looking up the operation", asked);
      if (answer.operation !== undefined) {
        output.one(OperationSchema, answer.operation, OPERATION);
      }
    });
}

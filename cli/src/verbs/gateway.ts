/** `aerodb gateway connections|top`: who is connected to the gateway of this machine, and busy. */
import { request } from "node:http";
import { join } from "node:path";
import { Fault } from "@aerodb/model";
import { sleep } from "@aerodb/runtime";
import type { Command } from "commander";
import { z } from "zod";
import { readVerbSettings } from "../config.ts";
import { type Column, createOutput } from "../output.ts";
import type { SharedFlags } from "../session.ts";

const connectionSchema = z.object({
  tenant: z.string(),
  port: z.string(),
  address: z.string(),
  application: z.string(),
  encrypted: z.boolean(),
  state: z.string(),
  instanceId: z.string(),
  openedInMs: z.number(),
  openForMs: z.number(),
  ingressBytes: z.number(),
  egressBytes: z.number(),
  transactions: z.number(),
});
const answerSchema = z.object({ connections: z.array(connectionSchema) });
export type Connection = z.infer<typeof connectionSchema>;

const KIB = 1_024;
const SECOND_MS = 1_000;
const CLEAR = "\u001b[H\u001b[J";

const CONNECTIONS: readonly Column<Connection>[] = [
  { title: "tenant", of: ({ tenant }) => tenant },
  { title: "port", of: ({ port, encrypted }) => `${port}${encrypted ? ", TLS" : ""}` },
  { title: "from", of: ({ address }) => address },
  { title: "application", of: ({ application }) => application || "-" },
  { title: "state", of: ({ state }) => state },
  { title: "open", of: ({ openForMs }) => `${Math.round(openForMs / SECOND_MS)} s` },
  { title: "opened in", of: ({ openedInMs }) => `${openedInMs} ms` },
  { title: "transactions", of: ({ transactions }) => String(transactions) },
  { title: "in", of: ({ ingressBytes }) => sizeText(ingressBytes) },
  { title: "out", of: ({ egressBytes }) => sizeText(egressBytes) },
];

/** What a tenant does at a port, in a second. */
export interface Activity {
  readonly tenant: string;
  readonly port: string;
  readonly connections: number;
  readonly active: number;
  readonly transactions: number;
  readonly ingressBytes: number;
  readonly egressBytes: number;
}

const TOP: readonly Column<Activity>[] = [
  { title: "tenant", of: ({ tenant }) => tenant },
  { title: "port", of: ({ port }) => port },
  { title: "connections", of: ({ connections }) => String(connections) },
  { title: "active", of: ({ active }) => String(active) },
  { title: "transactions/s", of: ({ transactions }) => transactions.toFixed(0) },
  { title: "in/s", of: ({ ingressBytes }) => sizeText(ingressBytes) },
  { title: "out/s", of: ({ egressBytes }) => sizeText(egressBytes) },
];

export function addGateway(program: Command): void {
  const gateway = program.commands.find((command) => command.name() === "gateway");
  if (gateway === undefined) throw new Error("bug: there is no gateway to ask");
  gateway
    .command("connections")
    .description("list who is connected to the gateway of this machine")
    .option("--gateway-home <directory>", "its home (default: gateway in the home of `up`)")
    .action(async (_flags: object, command: Command) => {
      const { output, socket } = settingsOf(command);
      output.plain(await askConnections(socket), CONNECTIONS);
    });
  gateway
    .command("top")
    .description("show what each tenant does through the gateway of this machine, every second")
    .option("--gateway-home <directory>", "its home (default: gateway in the home of `up`)")
    .option("--once", "one second only, as where the output is no terminal")
    .action(async (flags: { readonly once?: boolean }, command: Command) => {
      const { output, socket } = settingsOf(command);
      const again = flags.once !== true && process.stdout.isTTY && output.format === "table";
      let before = await askConnections(socket);
      do {
        await sleep(SECOND_MS);
        const now = await askConnections(socket);
        if (again) process.stdout.write(CLEAR);
        output.plain(activityOf(before, now), TOP);
        before = now;
      } while (again);
    });
}

function settingsOf(command: Command) {
  const flags = command.optsWithGlobals<SharedFlags & { readonly gatewayHome?: string }>();
  const home = flags.gatewayHome ?? join(readVerbSettings(flags).home, "gateway");
  return { output: createOutput(flags.output), socket: join(home, "admin.sock") };
}

/** Of each tenant and port the difference of a second, the busiest first. */
export function activityOf(
  before: readonly Connection[],
  now: readonly Connection[],
): readonly Activity[] {
  const after = totals(now);
  const earlier = totals(before);
  return [...after]
    .map(([key, total]) => {
      const last = earlier.get(key);
      // Connections that have ended take their counts along.
      const since = (part: "transactions" | "ingressBytes" | "egressBytes") =>
        Math.max(0, total[part] - (last?.[part] ?? 0));
      return {
        ...total,
        transactions: since("transactions"),
        ingressBytes: since("ingressBytes"),
        egressBytes: since("egressBytes"),
      };
    })
    .sort((one, other) => other.transactions - one.transactions);
}

function totals(connections: readonly Connection[]): ReadonlyMap<string, Activity> {
  const found = new Map<string, Activity>();
  for (const each of connections) {
    const { tenant, port } = each;
    const key = `${tenant} ${port}`;
    const none = { connections: 0, active: 0, transactions: 0, ingressBytes: 0, egressBytes: 0 };
    const total = found.get(key) ?? { tenant, port, ...none };
    found.set(key, {
      ...{ tenant, port },
      connections: total.connections + 1,
      active: total.active + (each.state === "active" ? 1 : 0),
      transactions: total.transactions + each.transactions,
      ingressBytes: total.ingressBytes + each.ingressBytes,
      egressBytes: total.egressBytes + each.egressBytes,
    });
  }
  return found;
}

function askConnections(socketPath: string): Promise<readonly Connection[]> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => {
      const sentence = `No gateway answers at ${socketPath}: name its home with --gateway-home.`;
      reject(new Fault("UNAVAILABLE", sentence, { cause }));
    };
    const asked = request({ socketPath, path: "/connections" }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", fail);
      response.on("end", () => {
        const answer = answerSchema.safeParse(JSON.parse(Buffer.concat(chunks).toString("utf8")));
        if (answer.success) resolve(answer.data.connections);
        else fail(answer.error);
      });
    });
    asked.on("error", fail);
    asked.end();
  });
}

function sizeText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let size = bytes;
  let unit = 0;
  for (; size >= KIB && unit < units.length - 1; unit += 1) size /= KIB;
  return `${unit === 0 ? size.toFixed(0) : size.toFixed(1)} ${units[unit]}`;
}

/** `aerodb metrics …`: what was measured of tenants, hosts and instances. */

import { isMetric, kindOfMetric } from "@aerodb/model";
import {
  GetHostMetricsResponseSchema,
  GetTenantMetricsResponseSchema,
  type MetricPoint,
  type MetricStatement,
} from "@aerodb/rpc/aerodb/control/v1/metric_service_pb.js";
import { type Command, InvalidArgumentError } from "commander";
import { type Column, type Output, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";

interface Span {
  readonly since: number;
  readonly step: number;
}

/** One figure as a person reads it. */
interface Figure {
  readonly name: string;
  readonly value: string;
}

const FIGURES: readonly Column<Figure>[] = [
  { title: "what", of: ({ name }) => name },
  { title: "value", of: ({ value }) => value },
];

const STATEMENTS: readonly Column<MetricStatement>[] = [
  { title: "seconds", of: ({ totalSeconds }) => totalSeconds.toFixed(1) },
  { title: "calls", of: ({ calls }) => String(calls) },
  { title: "rows", of: ({ rows }) => String(rows) },
  { title: "statement", of: ({ query }) => query.replace(/\s+/g, " ").slice(0, 100) },
];

const HELP = `
A server in which nothing happened since is not asked again: its figures hold until the next ones.

Example:
  aerodb metrics tenant acme --since 1h`;

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

export function addMetrics(program: Command): void {
  const metrics = program.command("metrics").description("what was measured lately");
  withSpan(metrics.command("tenant <tenant>"))
    .description("show what was measured of a tenant")
    .action(async (tenant: string, { since, step }: Span, command: Command) => {
      const { api, output } = openSession(command);
      const asked = { tenant, sinceSeconds: since, stepSeconds: step };
      const answer = await showProgress(`measuring ${tenant}`, api.metrics.getTenantMetrics(asked));
      if (output.format === "json") return output.one(GetTenantMetricsResponseSchema, answer, []);
      show(output, answer.points, answer.statements);
    });
  withSpan(metrics.command("host <host>"))
    .description("show what was measured of a host, or of an instance on it")
    .option("--instance <id>", "of this instance", "")
    .action(async (host: string, flags: Span & { readonly instance: string }, command: Command) => {
      const { api, output } = openSession(command);
      const span = { sinceSeconds: flags.since, stepSeconds: flags.step };
      const asked = { host, instanceId: flags.instance, ...span };
      const answer = await showProgress(`measuring ${host}`, api.metrics.getHostMetrics(asked));
      if (output.format === "json") return output.one(GetHostMetricsResponseSchema, answer, []);
      show(output, answer.points, answer.statements);
    });
}

function withSpan(command: Command): Command {
  return command
    .option("--since <duration>", "how far to look back: 90s, 15m, 6h, 2d", parseDuration, 900)
    .option("--step <duration>", "length of a step, for --output json", parseDuration, 0)
    .addHelpText("after", HELP);
}

/** The last figures of what is, and what came to each counter per second over the whole time. */
function show(
  output: Output,
  points: readonly MetricPoint[],
  statements: readonly MetricStatement[],
): void {
  const last = points.at(-1);
  if (last === undefined) {
    output.text("Nothing was measured in that time.");
    return;
  }
  const seconds = points.reduce((sum, point) => sum + point.seconds, 0);
  output.text(`Until ${timeText(last.at)}; rates over ${seconds} s.`);
  output.plain(figuresOf(points, seconds), FIGURES);
  if (statements.length > 0) output.plain(statements, STATEMENTS);
}

function figuresOf(points: readonly MetricPoint[], seconds: number): readonly Figure[] {
  const sums = new Map<string, Figure>();
  const totals = new Map<string, number>();
  for (const point of points) {
    for (const [name, value] of Object.entries(point.values)) {
      // What a newer platform measures and this program does not know is shown as it is.
      if (!isMetric(name) || kindOfMetric(name) === "gauge") {
        sums.set(name, { name, value: amountText(name, value) });
        continue;
      }
      const total = (totals.get(name) ?? 0) + value;
      totals.set(name, total);
      sums.set(name, { name, value: `${amountText(name, total / seconds)}/s` });
    }
  }
  return [...sums.values()].sort((a, b) => a.name.localeCompare(b.name));
}

function amountText(name: string, value: number): string {
  if (!name.endsWith("_bytes")) return String(Math.round(value * 1_000) / 1_000);
  const mib = value / 1_048_576;
  return mib >= 1_024 ? `${(mib / 1_024).toFixed(1)} GiB` : `${mib.toFixed(2)} MiB`;
}

function parseDuration(text: string): number {
  const [, count, unit = "s"] = /^([1-9][0-9]{0,5})([smhd]?)$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError("It must be like 90s, 15m, 6h or 2d.");
  return Number(count) * (UNITS[unit || "s"] ?? 1);
}

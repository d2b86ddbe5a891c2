/** Targets in turns, and what is said of one beside another. */
import { p50 } from "../figures.ts";
import { cpuMicrosecondsOf } from "../process-cost.ts";
import type { Target, WireStage } from "./wire-stage.ts";

export const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 5);
export const SECONDS = Number(process.env["BENCH_SECONDS"] ?? 2);
const THREADS = 2;
/** pgbench's time runs while it connects. */
const CONNECTED_A_SECOND = 20;

export interface PgbenchLoad {
  readonly clients: number;
  readonly words: readonly string[];
  readonly seconds?: number;
  /** Instead of a time. */
  readonly transactions?: number;
}

export interface PgbenchRun {
  readonly tps: number;
  readonly transactions: number;
}

/** Measures every target once a round. Who begins changes, so that nobody always comes first. */
export async function inTurns<Sample>(
  targets: readonly Target[],
  measure: (target: Target) => Promise<Sample>,
  rounds = ROUNDS,
): Promise<(target: Target) => readonly Sample[]> {
  const samples = new Map<Target, Sample[]>(targets.map((target) => [target, []]));
  for (let round = 0; round < rounds; round += 1) {
    const first = round % targets.length;
    for (const target of [...targets.slice(first), ...targets.slice(0, first)]) {
      samples.get(target)?.push(await measure(target));
    }
  }
  return (target) => samples.get(target) ?? [];
}

/** The middle of the ratios of each round: what disturbs a round disturbs both. */
export function turnRatio(part: readonly number[], whole: readonly number[]): number {
  return p50(part.map((value, round) => value / (whole[round] ?? Number.NaN)));
}

export async function pgbench(
  stage: WireStage,
  target: Target,
  load: PgbenchLoad,
): Promise<PgbenchRun> {
  const { clients, transactions, seconds = SECONDS } = load;
  const lasting = seconds + Math.ceil(clients / CONNECTED_A_SECOND);
  const length = transactions === undefined ? ["-T", `${lasting}`] : ["-t", `${transactions}`];
  const jobs = `${Math.min(THREADS, clients)}`;
  const words = ["-n", "-c", `${clients}`, "-j", jobs, ...length, ...load.words];
  const said = await stage.runClient(target, "pgbench", words);
  const [, done, failed] =
    /actually processed: (\d+)[\s\S]*?failed transactions: (\d+)/.exec(said) ?? [];
  const [, tps] = /^tps = ([\d.]+)/m.exec(said) ?? [];
  if (tps === undefined || failed !== "0") {
    throw new Error(`pgbench through ${target.name} was not well:\n${said}`);
  }
  return { tps: Number(tps), transactions: Number(done) };
}

export interface CostedRun extends PgbenchRun {
  /** Processor time of the process in between; 0 where there is none. */
  readonly cpuMicroseconds: number;
}

/**
 * Like `pgbench`, with what a transaction costs the process in between. What it takes to connect is
 * measured too, and taken off.
 */
export async function costedPgbench(
  stage: WireStage,
  target: Target,
  load: PgbenchLoad,
): Promise<CostedRun> {
  const { pid } = target;
  if (pid === undefined) {
    return { ...(await pgbench(stage, target, load)), cpuMicroseconds: 0 };
  }
  const before = cpuMicrosecondsOf(pid);
  const short = await pgbench(stage, target, { ...load, transactions: 1 });
  const between = cpuMicrosecondsOf(pid);
  const long = await pgbench(stage, target, load);
  const spent = cpuMicrosecondsOf(pid) - between - (between - before);
  return { ...long, cpuMicroseconds: spent / (long.transactions - short.transactions) };
}

export function tpsOf(runs: readonly PgbenchRun[]): number[] {
  return runs.map(({ tps }) => tps);
}

export function cpuOf(runs: readonly CostedRun[]): number[] {
  return runs.map(({ cpuMicroseconds }) => cpuMicroseconds);
}

export function microseconds(samples: readonly number[]): string {
  return `${p50(samples).toFixed(1)} us`;
}

/**
 * Samples and what is said of them. A figure is only worth something beside another of the same
 * run.
 */
import { loadavg } from "node:os";
import { monotonicMs } from "@aerodb/runtime";

/** How long something took, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = monotonicMs();
  await work();
  return monotonicMs() - began;
}

function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function p50(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

export function p99(samples: readonly number[]): number {
  return percentile(samples, 0.99);
}

export interface Figure {
  readonly what: string;
  readonly measured: string;
  readonly reach: string;
}

export function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}

export function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** How the middle of some samples stands to that of others. */
export function ratio(part: readonly number[], whole: readonly number[]): string {
  return (p50(part) / p50(whole)).toFixed(2);
}

export function distribution(samples: readonly number[]): string {
  const [low, mid, high] = [percentile(samples, 0), p50(samples), p99(samples)];
  return `p50 ${ms(mid)}, p99 ${ms(high)}, min ${ms(low)}, n ${samples.length}`;
}

/** Rates, where more is better. */
export function rates(samples: readonly number[]): string {
  const said = (value: number): string => value.toFixed(value < 100 ? 1 : 0);
  return `p50 ${said(p50(samples))}, min ${said(percentile(samples, 0))} tps`;
}

/** Prints figures beside what they are to reach, and how busy the machine was. */
export function report(title: string, figures: readonly Figure[]): void {
  const lines = figures.map(({ what, measured, reach }) => `  ${what}: ${measured}  (${reach})`);
  const [load = 0] = loadavg();
  console.log([`\n${title} (load ${load.toFixed(1)})`, ...lines].join("\n"));
}

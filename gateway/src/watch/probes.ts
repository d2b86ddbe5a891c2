/**
 * Asks instances whether they answer, of whom no client has found out yet: a few at once, spread
 * over a part of the span, and nobody is woken. Who does not answer is asked again half a span
 * later, so that one that is down for a moment is not taken to be down.
 */
import type { IncidentCause } from "@aerodb/model";
import { monotonicMs, sleep } from "@aerodb/runtime";
import type { Parking } from "../parking.ts";
import { causeOf } from "./causes.ts";
import type { Reach } from "./reach.ts";

/** What asking came to. Who was not asked in time has none. */
export type ProbeOutcome = "answered" | IncidentCause;

/** An instance, and a role that may log in to it. */
export interface ProbeTarget {
  readonly instanceId: string;
  readonly role: string;
}

export interface ProbeSettings {
  readonly reach: Pick<Reach, "hasAnswered">;
  readonly parking: Pick<Parking, "of">;
  /** Asks one. Undefined: it answers; else why it does not. */
  readonly ask: (target: ProbeTarget, signal: AbortSignal) => Promise<string | undefined>;
  readonly spanMs: number;
}

/** Those that are waited for at once. */
const MOST_AT_ONCE = 128;
/** From which to which part of the span instances are asked, and asked again. */
const ROUNDS = [
  [0.15, 0.45],
  [0.6, 0.8],
] as const;
/** For which part of the span one may be waited for: what is left of it after the last is asked. */
export const ASKED_FOR = 0.2;

/**
 * Asks until the signal is aborted, which is no error. `startedMs` is when the span began, in
 * monotonic time.
 */
export async function probe(
  targets: readonly ProbeTarget[],
  settings: ProbeSettings,
  span: { readonly startedMs: number; readonly signal: AbortSignal },
): Promise<ReadonlyMap<string, ProbeOutcome>> {
  const outcomes = new Map<string, ProbeOutcome>();
  let left = targets;
  for (const [from, to] of ROUNDS) {
    const pace = {
      firstMs: span.startedMs + from * settings.spanMs,
      stepMs: ((to - from) * settings.spanMs) / Math.max(1, left.length),
    };
    await askRound(left, { ...settings, ...pace, outcomes, signal: span.signal });
    left = left.filter(({ instanceId }) => outcomes.get(instanceId) !== "answered");
  }
  return outcomes;
}

interface Round extends ProbeSettings {
  readonly firstMs: number;
  readonly stepMs: number;
  readonly outcomes: Map<string, ProbeOutcome>;
  readonly signal: AbortSignal;
}

/** Each has its moment, and whoever is free asks the next. */
async function askRound(targets: readonly ProbeTarget[], round: Round): Promise<void> {
  let next = 0;
  async function askOn(): Promise<void> {
    for (let at = next; at < targets.length; at = next) {
      next += 1;
      const target = targets[at];
      if (target === undefined) return;
      await sleep(Math.max(0, round.firstMs + at * round.stepMs - monotonicMs()), round.signal);
      const outcome = await outcomeOf(target, round);
      if (round.signal.aborted) return;
      round.outcomes.set(target.instanceId, outcome);
    }
  }
  const asking = Array.from({ length: Math.min(MOST_AT_ONCE, targets.length) }, askOn);
  await Promise.all(asking).catch((error: unknown) => {
    if (!round.signal.aborted) throw error;
  });
}

async function outcomeOf(target: ProbeTarget, round: Round): Promise<ProbeOutcome> {
  const { reach, parking, ask, signal } = round;
  if (reach.hasAnswered(target.instanceId)) return "answered";
  if (parking.of(target.instanceId) !== undefined) return "restart";
  const because = await ask(target, signal);
  return because === undefined ? "answered" : causeOf(because);
}

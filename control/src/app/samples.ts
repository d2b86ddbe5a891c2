/** What agents measure, taken into the catalogue. Everything here may be repeated and come late. */
import { entriesOfReadings, type HostId, isMetric, type Readings } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import { insertSamples, type Sample, type SampledStatement } from "../store/samples.ts";
import type { Control } from "./control.ts";
import { cleanText } from "./text.ts";

/** A sample as an agent sends it: nothing of it is believed yet. */
export interface SentSample extends Omit<Sample, "readings"> {
  readonly values: Readonly<Record<string, number>>;
}

const MOST_STATEMENTS = 20;
const MOST_CHARACTERS = 1_000;
/** Longer spans are told by nobody who means it. */
const MOST_SECONDS = 7 * 86_400;
const FAR_MS = 30 * 86_400_000;
const LAST_SEQUENCE = 2n ** 63n - 1n;
const LARGEST = Number.MAX_SAFE_INTEGER;
/** Nothing measures less: by such a number the catalogue could not divide. */
const SMALLEST = 1e-9;

/**
 * Keeps what a host measured, each span once. What cannot be true, or is not the host's to say, is
 * dropped; what a newer agent measures and this control does not know, too.
 */
export async function takeSamples(
  control: Control,
  hostId: HostId,
  sent: readonly SentSample[],
): Promise<void> {
  const samples = sent.flatMap((each) => credible(each));
  if (samples.length === 0) return;
  await insertSamples(control.database, hostId, samples);
}

function credible(sent: SentSample): readonly Sample[] {
  const { values, statements, seconds, at, ...rest } = sent;
  if (!(seconds >= 1 && seconds <= MOST_SECONDS) || sent.sequence > LAST_SEQUENCE) return [];
  // The catalogue decides by its own clock; this is for times that it could not even compare.
  if (!(Math.abs(at.getTime() - now().getTime()) < FAR_MS)) return [];
  const readings = credibleReadings(values);
  if (entriesOfReadings(readings).length === 0) return [];
  return [
    {
      ...rest,
      ...{ at, seconds, readings },
      instanceId: cleanText(rest.instanceId, MOST_CHARACTERS),
      tenantId: cleanText(rest.tenantId, MOST_CHARACTERS),
      statements: statements.slice(0, MOST_STATEMENTS).flatMap(credibleStatement),
    },
  ];
}

function credibleReadings(values: Readonly<Record<string, number>>): Readings {
  const known = Object.entries(values).filter(([name, value]) => isMetric(name) && isAmount(value));
  return Object.fromEntries(known.map(([name, value]) => [name, value < SMALLEST ? 0 : value]));
}

function credibleStatement(statement: SampledStatement): readonly SampledStatement[] {
  const { calls, rows, totalSeconds } = statement;
  if (![calls, rows, totalSeconds].every(isAmount)) return [];
  return [{ ...statement, query: cleanText(statement.query, MOST_CHARACTERS) }];
}

/** Finite, and no less than nothing. */
function isAmount(value: number): boolean {
  return value >= 0 && value <= LARGEST;
}

/** What follows from the times at which nobody got through to a tenant. Times are milliseconds. */
import { causesOf, INCIDENT_CAUSES, type IncidentCause, type IncidentKind } from "@aerodb/model";

/** From, and to before when. Of several together: in order, and apart. */
export type Times = readonly (readonly [from: number, to: number])[];

/** How long a tenant was on a plan, and what that promises. */
export interface PromisedTerm {
  readonly from: number;
  /** Undefined: it goes on. */
  readonly to: number | undefined;
  /** Of a million minutes, in how many clients get through; undefined: nothing is promised. */
  readonly availableMillionths: number | undefined;
}

export interface AvailabilityInputs {
  readonly month: { readonly from: number; readonly to: number };
  /** Up to when something can be known. */
  readonly asOf: number;
  /** In order. None while the tenant was not there. */
  readonly terms: readonly PromisedTerm[];
  readonly watched: Times;
  readonly unreached: ReadonlyMap<IncidentCause, Times>;
}

export interface Incident {
  readonly from: number;
  /** Undefined: it goes on. */
  readonly to: number | undefined;
  /** Of those that are known. */
  readonly minutes: number;
  readonly planned: boolean;
  readonly causes: readonly IncidentCause[];
}

export interface Availability {
  readonly from: number;
  readonly to: number;
  readonly knownMinutes: number;
  readonly downMinutes: number;
  readonly plannedMinutes: number;
  readonly unknownMinutes: number;
  /** Undefined: nothing is known. */
  readonly availablePercent: number | undefined;
  /** Undefined: nothing is promised. */
  readonly promise:
    | {
        readonly percent: number;
        readonly budgetMinutes: number;
        readonly leftMinutes: number;
      }
    | undefined;
  /** The newest first. */
  readonly incidents: readonly Incident[];
}

const MINUTE_MS = 60_000;
const MILLION = 1_000_000;

/**
 * The availability of a month. What was down by a plan and by none at once was not planned. What
 * nobody watched counts neither way.
 */
export function availabilityOf(inputs: AvailabilityInputs): Availability {
  const { month, terms, unreached } = inputs;
  const present = terms.map(({ from, to }) => [
    Math.max(from, month.from),
    Math.min(to ?? month.to, month.to),
  ]) as Times;
  const whole = united(present);
  const asOf = Math.min(inputs.asOf, month.to);
  const served = common(whole, [[month.from, asOf]]);
  const down = common(timesOf(unreached, "unplanned"), served);
  const planned = without(common(timesOf(unreached, "planned"), served), down);
  const out = united([...down, ...planned]);
  const notMeasured = without(timesOf(unreached, "unknown"), out);
  const unknown = without(without(served, without(inputs.watched, notMeasured)), out);

  const known = lengthOf(served) - lengthOf(unknown);
  const first = served[0]?.[0] ?? month.from;
  const last = served.at(-1)?.[1] ?? first;
  return {
    ...{ from: first, to: last },
    knownMinutes: known / MINUTE_MS,
    downMinutes: lengthOf(down) / MINUTE_MS,
    plannedMinutes: lengthOf(planned) / MINUTE_MS,
    unknownMinutes: lengthOf(unknown) / MINUTE_MS,
    availablePercent: known > 0 ? 100 * (1 - lengthOf(down) / known) : undefined,
    promise: promiseOf(inputs, down),
    incidents: [
      ...incidentsOf(down, { inputs, unknown, planned: false, asOf }),
      ...incidentsOf(planned, { inputs, unknown, planned: true, asOf }),
    ].sort((a, b) => b.from - a.from),
  };
}

/** What may be down in the whole month, and how much of that is left. */
function promiseOf({ month, terms }: AvailabilityInputs, down: Times): Availability["promise"] {
  let percent: number | undefined;
  let [budget, used] = [0, 0];
  for (const { from, to, availableMillionths } of terms) {
    if (availableMillionths === undefined) continue;
    const times: Times = [[Math.max(from, month.from), Math.min(to ?? month.to, month.to)]];
    if (lengthOf(times) <= 0) continue;
    percent = availableMillionths / (MILLION / 100);
    budget += (lengthOf(times) * (MILLION - availableMillionths)) / MILLION;
    used += lengthOf(common(down, times));
  }
  if (percent === undefined) return undefined;
  const [budgetMinutes, leftMinutes] = [budget / MINUTE_MS, (budget - used) / MINUTE_MS];
  return { percent, budgetMinutes, leftMinutes };
}

/** Between two times that nobody knows anything of but that, it may not have been over. */
function incidentsOf(
  times: Times,
  about: {
    readonly inputs: AvailabilityInputs;
    readonly unknown: Times;
    readonly planned: boolean;
    readonly asOf: number;
  },
): Incident[] {
  const { inputs, unknown, planned, asOf } = about;
  const kind = planned ? "planned" : "unplanned";
  return united([...times, ...unknown]).flatMap((whole) => {
    const parts = common(times, [whole]);
    const [from] = parts[0] ?? [];
    const [, to] = parts.at(-1) ?? [];
    if (from === undefined || to === undefined) return [];
    const causes = causesOf(kind).filter(
      (cause) => common(inputs.unreached.get(cause) ?? [], parts).length > 0,
    );
    // What was down in the last minute that is known may be down still.
    const goesOn = whole[1] >= asOf && asOf < inputs.month.to;
    return [
      { from, to: goesOn ? undefined : to, minutes: lengthOf(parts) / MINUTE_MS, planned, causes },
    ];
  });
}

/** What happened, in a sentence. */
export function explainIncident({ causes, planned }: Pick<Incident, "causes" | "planned">): string {
  const about = causes.map((cause) => INCIDENT_CAUSES[cause].about).join(", then ");
  return `${planned ? "Planned" : "Nobody got through"}: ${about}.`;
}

function timesOf(unreached: ReadonlyMap<IncidentCause, Times>, kind: IncidentKind): Times {
  return united(causesOf(kind).flatMap((cause) => unreached.get(cause) ?? []));
}

/** In order, and those that meet are one. */
export function united(times: Times): Times {
  const joined: [number, number][] = [];
  for (const [from, to] of [...times].sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (to <= from) continue;
    if (last === undefined || from > last[1]) joined.push([from, to]);
    else last[1] = Math.max(last[1], to);
  }
  return joined;
}

/** What is in both. Each is in order and apart. */
export function common(some: Times, others: Times): Times {
  const found: [number, number][] = [];
  let at = 0;
  for (const [from, to] of some) {
    while ((others[at]?.[1] ?? Number.POSITIVE_INFINITY) <= from) at += 1;
    for (let next = at; next < others.length; next += 1) {
      const [otherFrom, otherTo] = others[next] ?? [to, to];
      if (otherFrom >= to) break;
      found.push([Math.max(from, otherFrom), Math.min(to, otherTo)]);
    }
  }
  return found.filter(([from, to]) => to > from);
}

/** What is in the first and not in the second. Each is in order and apart. */
export function without(some: Times, others: Times): Times {
  const edges = [...others, [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] as const];
  let before = Number.NEGATIVE_INFINITY;
  const gaps = edges.map(([from, to]) => {
    const gap = [before, from] as const;
    before = to;
    return gap;
  });
  return common(some, gaps);
}

function lengthOf(times: Times): number {
  return times.reduce((sum, [from, to]) => sum + (to - from), 0);
}

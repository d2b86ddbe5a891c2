import type { RulePlace } from "./rule.ts";

/** Who is broken into, as quoted names. */
export interface BreachTarget {
  readonly self: string;
  readonly neighbour: string;
}

export interface Breach {
  /** The rule that must notice. */
  readonly rule: string;
  /** Other rules that cannot but notice too. */
  readonly also?: readonly string[];
  readonly place: RulePlace;
  readonly done: (target: BreachTarget) => string;
  /** Left out where dropping the tenant undoes it. */
  readonly undone?: (target: BreachTarget) => string;
}

/** Runs for each row of a query what the server makes of it. */
export function forEach(format: string, from: string): string {
  return `do $each$ declare it text; begin
    for it in select pg_catalog.format(${format}) from ${from} loop execute it; end loop;
  end $each$`;
}

export const largeObjectsOf = (role: string) =>
  `pg_catalog.pg_largeobject_metadata l where l.lomowner = '${role}'::pg_catalog.regrole`;

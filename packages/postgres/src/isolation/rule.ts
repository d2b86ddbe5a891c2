/**
 * The rules that isolation is proven by, as data. A rule asks the catalogue once for all tenants
 * that are judged; `catalogue-proof.ts` puts the questions together and counts.
 */
import { quoteLiteral } from "../identifier.ts";

/** Where a rule holds: among many tenants in one instance, or of one in its own. */
export type RulePlace = "shared" | "dedicated" | "both";

export interface Rule {
  /** Stable: reports and operators name rules by it. */
  readonly id: string;
  /** What is counted, for `tables 812/812`. */
  readonly subject: string;
  /** What is promised. */
  readonly sentence: string;
  readonly place: RulePlace;
  /** Of each tenant, or of the instance that it lives in. */
  readonly scope: "tenant" | "instance";
  /** Whether it looks at nothing but what the tenant holds: in its schema, and as an owner. */
  readonly ofHoldings?: true;
  /**
   * A query that gives a row for each thing that was looked at: `tenant` (null for an instance),
   * `held` and `name`. It reads the tables that `proof-tables.ts` makes, and the catalogue.
   */
  readonly sql: string;
}

/** What a proof found of one rule. */
export interface JudgedRule {
  readonly id: string;
  /** How many things were looked at, and of how many it holds. */
  readonly checked: number;
  readonly held: number;
  /** Up to MOST_NAMED of those of which it does not hold. */
  readonly violations: readonly string[];
}

export const MOST_NAMED = 5;

export function holds({ checked, held }: JudgedRule): boolean {
  return checked === held;
}

export function appliesTo(rule: Pick<Rule, "place">, shared: boolean): boolean {
  return rule.place === "both" || rule.place === (shared ? "shared" : "dedicated");
}

/** How an object is named to who reads a report. */
export function described(classId: string, objectId: string, part = "0"): string {
  const said = `pg_catalog.pg_describe_object(${classId}, ${objectId}, ${part})`;
  return `coalesce(${said}, 'object ' || ${objectId}::pg_catalog.text)`;
}

/** Values as SQL text, for a list of them. */
export function listed(values: readonly string[]): string {
  return values.map(quoteLiteral).join(", ");
}

/** The name of the role with an id, as text. */
export function roleName(id: string): string {
  return `pg_catalog.pg_get_userbyid(${id})::pg_catalog.text`;
}

/** What a tenant's role and schema are called, as a pattern. */
export const IS_TENANT = "'^ten_[0-9a-z]{26}$'";

/** SHA-256 of a text, as hex. */
export function hashOf(text: string): string {
  return `pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(${text}, 'UTF8')), 'hex')`;
}

/** A catalogue's own id, as dependencies name it. */
export function catalogue(name: string): string {
  return `'pg_catalog.${name}'::pg_catalog.regclass::pg_catalog.oid`;
}

/** Gives a row for each tenant that a rule was checked of, or one for the instance. */
export function counted({ id, sql }: Rule): string {
  return `
select ${quoteLiteral(id)} as rule, j.tenant, pg_catalog.count(*)::pg_catalog.int4 as checked,
  pg_catalog.count(*) filter (where j.held)::pg_catalog.int4 as held,
  (pg_catalog.array_agg(j.name order by j.name) filter (where j.held is not true))[1:${MOST_NAMED}]
    as violations
from (${sql}) j group by j.tenant`;
}

/**
 * How expressions of policies and defaults are read without waiting: for the relation that it
 * belongs to `pg_get_expr` locks that relation, and whoever holds it would hold up the proof of
 * everybody. A tree is looked at as text first, and written out only where that needs no relation.
 */
import { quoteLiteral } from "../identifier.ts";

/** No table is named in it, the locks of which a subquery would ask for. */
const namesNoTable = (tree: string) => `${tree}::pg_catalog.text !~ '[{]RANGETBLENTRY '`;

/** Has at least so many columns, and tenants cannot lock it. */
const STAND_IN = "'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid";
const STAND_IN_COLUMNS = 30;

/** An expression as Postgres writes it out; null where it names columns or tables. */
export function writtenExpression(tree: string): string {
  return `(case when ${namesNoTable(tree)} and ${tree}::pg_catalog.text !~ '[{]VAR '
    then pg_catalog.pg_get_expr(${tree}, 0::pg_catalog.oid) end)`;
}

/**
 * Whether an expression is what Postgres writes out as `format`, in which %1$I is its one column:
 * the one with a number, named so many times. It is written out for a relation that nobody can
 * lock, whose column of that number has another name; only a table of more columns than that one is
 * asked itself.
 */
export function isExpressionOf(
  tree: string,
  column: {
    readonly relation: string;
    readonly number: string;
    readonly name: string;
    readonly format: string;
    readonly times: number;
  },
): string {
  const { relation, number, name, format, times } = column;
  const text = `${tree}::pg_catalog.text`;
  const standIn = `(select s.attname from pg_catalog.pg_attribute s
    where s.attrelid = ${STAND_IN} and s.attnum = ${number})`;
  const guard = quoteLiteral(format);
  const count = (before: string) =>
    `pg_catalog.regexp_count(${text}, pg_catalog.concat(${before}, ${number}, ' ')) = ${times}`;
  return `(case
    when not (${namesNoTable(tree)} and pg_catalog.regexp_count(${text}, '[{]VAR ') = ${times}
      and ${count("'[{]VAR :varno 1 :varattno '")} and ${count("':varattnosyn '")}) then false
    when ${number} <= ${STAND_IN_COLUMNS}
      then pg_catalog.pg_get_expr(${tree}, ${STAND_IN}) = pg_catalog.format(${guard}, ${standIn})
    else pg_catalog.pg_get_expr(${tree}, ${relation})
      = pg_catalog.format(${guard}, ${quoteLiteral(name)}) end)`;
}

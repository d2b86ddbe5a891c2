/**
 * Changes of the tables that all tenants of an instance share: SQL of the operator's, applied once
 * and in order. It runs inside a function of SHARED_ROLE that nobody ever sees, for Postgres
 * refuses every change of role within one; what it leaves behind is judged before it counts.
 */
import { createHash } from "node:crypto";
import { Fault } from "@aerodb/model";
import { type Client, DatabaseError } from "pg";
import { databaseFault } from "./database-fault.ts";
import { quoteIdentifier } from "./identifier.ts";
import { counted } from "./isolation/rule.ts";
import { RULES_OF_SHARED_TABLES } from "./isolation/rules-of-shared-tables.ts";
import { SHARED_ROLE, SHARED_SCHEMA } from "./names.ts";
import {
  CHANGES_TABLE,
  GROUND,
  hasSharedTables,
  KEEPING,
  listGranted,
} from "./shared-tables-keeping.ts";
import { platform } from "./wall-functions.ts";

export interface SharedTableChange {
  /** From 1, without gaps: the order in which changes are applied. */
  readonly number: number;
  readonly name: string;
  /** One or several statements. */
  readonly sql: string;
}

/** Why a change cannot be applied. */
export interface ChangeRefusal {
  readonly sentence: string;
  /** As Postgres gave it; empty where a rule was broken. */
  readonly sqlState: string;
  /** Of the change, from 1; 0 where that is not known. */
  readonly line: number;
}

interface AppliedChange {
  readonly number: number;
  readonly name: string;
  readonly sha256: string;
}

const role = quoteIdentifier(SHARED_ROLE);
const door = `${platform}.change_shared_tables`;

/** Made and dropped within one transaction: nobody else ever finds it. */
const MAKE_DOOR = [
  // For backfills and the check of foreign keys, which policies would show no row.
  `alter role ${role} bypassrls`,
  `create function ${door}(statements text) returns void language plpgsql security definer
    set search_path = ${quoteIdentifier(SHARED_SCHEMA)}, pg_temp
    as $door$begin execute statements; set constraints all immediate; end$door$`,
  `alter function ${door}(text) owner to ${role}`,
];
const DROP_DOOR = [`drop function if exists ${door}(text)`, `alter role ${role} nobypassrls`];

/**
 * Applies those changes that an instance has not yet, each in a transaction of its own. Returns the
 * number of the newest that it has. Safe to repeat and to race. Throws UNAVAILABLE for one that
 * cannot be applied, or when the instance has others of the same numbers.
 */
export async function applySharedTables(
  client: Client,
  changes: readonly SharedTableChange[],
): Promise<number> {
  const applied = await listApplied(client);
  requireSame(applied, changes);
  let newest = applied.length;
  for (const change of changes.slice(newest)) {
    const refusal = await attempt(client, change, "commit");
    if (refusal !== undefined) {
      const what = `Change ${change.number} of shared tables (${change.name})`;
      throw new Fault("UNAVAILABLE", `${what} cannot be applied: ${refusal.sentence}`);
    }
    newest = change.number;
  }
  return newest;
}

/**
 * Tries a change as the next one of an instance, and leaves nothing of it behind. Returns why it
 * cannot be applied; undefined when it can, or was. Throws UNAVAILABLE when the instance has not
 * come so far yet.
 */
export async function trySharedTables(
  client: Client,
  change: SharedTableChange,
): Promise<ChangeRefusal | undefined> {
  const applied = await listApplied(client);
  if (applied.length < change.number - 1) {
    const missing = `The instance has ${applied.length} of the ${change.number - 1} changes before`;
    throw new Fault("UNAVAILABLE", `${missing}: try again in a moment.`);
  }
  if (applied.length < change.number) return attempt(client, change, "rollback");
  requireSame(applied, [change]);
  return undefined;
}

async function listApplied(client: Client): Promise<readonly AppliedChange[]> {
  try {
    if (!(await hasSharedTables(client))) return [];
    const text = `select number, name, sha256 from ${CHANGES_TABLE} order by number`;
    return (await client.query<AppliedChange>(text)).rows;
  } catch (error) {
    throw databaseFault(error, "list changes of its shared tables");
  }
}

/** After the catalogue was restored from a backup, an instance may know of more than it does. */
function requireSame(
  applied: readonly AppliedChange[],
  changes: readonly SharedTableChange[],
): void {
  for (const { number, name, sha256 } of applied) {
    const change = changes.find((each) => each.number === number);
    if (change === undefined || digestOf(change) === sha256) continue;
    throw new Fault(
      "UNAVAILABLE",
      `The instance has "${name}" as change ${number} of shared tables, and not ` +
        `"${change.name}": apply again what was applied before, under the same names.`,
    );
  }
}

export function digestOf({ sql }: Pick<SharedTableChange, "sql">): string {
  return createHash("sha256").update(sql).digest("hex");
}

async function attempt(
  client: Client,
  change: SharedTableChange,
  end: "commit" | "rollback",
): Promise<ChangeRefusal | undefined> {
  try {
    const open = await openFor(client, change);
    const refusal = open ? await changeTables(client, change) : undefined;
    await client.query(refusal === undefined ? end : "rollback");
    return refusal;
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw databaseFault(error, "change its shared tables");
  } finally {
    // Prepared statements, locks and LISTEN outlast a transaction.
    await client.query("discard all").catch(() => client.end().catch(() => undefined));
  }
}

/** Begins, and notes the change as applied. False when somebody applied it meanwhile. */
async function openFor(client: Client, change: SharedTableChange): Promise<boolean> {
  const ready = await hasSharedTables(client);
  const lock = `lock table ${CHANGES_TABLE} in exclusive mode`;
  await client.query(["begin", ...(ready ? [] : GROUND), lock].join(";\n"));
  const { rowCount } = await client.query(
    `insert into ${CHANGES_TABLE} (number, name, sha256) values ($1, $2, $3)
      on conflict (number) do nothing`,
    [change.number, change.name, digestOf(change)],
  );
  return rowCount === 1;
}

async function changeTables(
  client: Client,
  change: SharedTableChange,
): Promise<ChangeRefusal | undefined> {
  await client.query(MAKE_DOOR.join(";\n"));
  try {
    await client.query(`select ${door}($1)`, [change.sql]);
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    const refusal = refusalOf(error, change.sql);
    const passing = databaseFault(error, "try a change of its shared tables");
    if (passing instanceof Fault) throw passing;
    return refusal;
  }
  // First what it set, by which the next message would be read; a cursor that is to outlast the
  // transaction would run its query when that ends, with the rights of the superuser.
  await client.query("reset all; close all");
  const granted = await listGranted(client);
  if (granted.length > 0) {
    const sentence = `It decides on rights of ${granted.join(", ")}, which are the platform's`;
    return { sentence: `${sentence}: leave out GRANT and REVOKE.`, sqlState: "", line: 0 };
  }
  await client.query([...DROP_DOOR, ...GROUND, KEEPING].join(";\n"));
  return judge(client);
}

function refusalOf(error: DatabaseError, sql: string): ChangeRefusal {
  const { message, hint, detail, internalPosition, internalQuery, code = "" } = error;
  const known = internalQuery === sql && internalPosition !== undefined;
  const before = known ? [...sql].slice(0, Number(internalPosition) - 1) : [];
  const line = known ? before.filter((each) => each === "\n").length + 1 : 0;
  const said = [message, detail ?? "", hint ?? ""].filter((each) => each !== "");
  const sentence = said.map((each) => each.replace(/\.$/, "")).join(". ");
  return { sentence: `${sentence}.`, sqlState: code, line };
}

interface Judged {
  readonly rule: string;
  readonly violations: readonly string[] | null;
}

/** The first rule that the tables break now. */
async function judge(client: Client): Promise<ChangeRefusal | undefined> {
  const question = RULES_OF_SHARED_TABLES.map(counted).join("\nunion all\n");
  const { rows } = await client.query<Judged>(question);
  for (const { id, sentence } of RULES_OF_SHARED_TABLES) {
    const { violations } = rows.find(({ rule }) => rule === id) ?? {};
    if (violations == null || violations.length === 0) continue;
    const broken = `${sentence} That does not hold of ${violations.join(", ")}.`;
    return { sentence: broken, sqlState: "", line: 0 };
  }
  return undefined;
}

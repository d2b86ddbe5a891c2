/**
 * Proves that a tenant's walls hold by trying them: with the tenant's rights, in one message and
 * one transaction, which is undone whatever comes of it.
 */
import type { TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { databaseFault } from "../database-fault.ts";
import { quoteIdentifier, quoteLiteral } from "../identifier.ts";
import { PROBES, type Probe, REFUSED, RUNTIME_RULES } from "./probes.ts";
import { appliesTo, type JudgedRule, MOST_NAMED } from "./rule.ts";
import type { ProofScope } from "./rules.ts";

const STATEMENT_TIMEOUT_MS = 5_000;
const LOCK_TIMEOUT_MS = 500;
/**
 * A processor is given to others every few milliseconds only, and all probes of a tenant take as
 * long; four of them take a tenth. Servers sleep for whole milliseconds.
 */
const PROBES_AT_ONCE = 4;
const REST_SECONDS = 0.001;
const OUTCOMES = "aerodb.outcomes";
/** https://www.postgresql.org/docs/current/errcodes-appendix.html: disk_full */
const WRITES_REFUSED = "53100";

export interface RuntimeScope extends ProofScope {
  /** Of the server. */
  readonly major: number;
  /** Whether it rests on the way, so that nobody waits for the processor behind all of it. */
  readonly gently: boolean;
}

/** The canary must be there where the instance is shared. */
export async function proveAtRuntime(
  client: Client,
  { shared, major, gently }: RuntimeScope,
  tenantId: TenantId,
): Promise<readonly JudgedRule[]> {
  const probes = PROBES.filter((probe) => appliesTo(probe, shared) && (probe.since ?? 0) <= major);
  const outcomes = await tryAll(client, { tenantId, probes, gently });
  return RUNTIME_RULES.flatMap(({ id }) => {
    const tried = probes.flatMap((probe, index) =>
      probe.rule === id ? [{ probe, outcome: outcomes[index] ?? "unknown" }] : [],
    );
    if (tried.length === 0) return [];
    const broken = tried.filter(({ probe, outcome }) => !isAsExpected(probe, outcome));
    const violations = broken.slice(0, MOST_NAMED).map(said);
    return [{ id, checked: tried.length, held: tried.length - broken.length, violations }];
  });
}

/** A tenant whose writes are refused is told that before it is told what it may not do. */
function isAsExpected({ expected }: Probe, outcome: string): boolean {
  return outcome === expected || (expected === REFUSED && outcome === WRITES_REFUSED);
}

function said({ probe, outcome }: { readonly probe: Probe; readonly outcome: string }): string {
  return `${probe.name}: ${outcome} instead of ${probe.expected}`;
}

/** What each came to, in their order. */
async function tryAll(
  client: Client,
  what: {
    readonly tenantId: TenantId;
    readonly probes: readonly Probe[];
    readonly gently: boolean;
  },
): Promise<readonly string[]> {
  const { tenantId, probes, gently } = what;
  const statements = [
    "begin",
    `set local statement_timeout = '${STATEMENT_TIMEOUT_MS}ms'`,
    `set local lock_timeout = '${LOCK_TIMEOUT_MS}ms'`,
    "set local search_path = pg_catalog, pg_temp",
    "set local row_security = on",
    `set local session authorization ${quoteIdentifier(tenantId)}`,
    `set local app.tenant_id = ${quoteLiteral(tenantId)}`,
    trying(
      probes.map(({ sql }) => sql(quoteLiteral(tenantId))),
      gently,
    ),
    `select pg_catalog.current_setting('${OUTCOMES}') as outcomes`,
    "rollback",
  ];
  try {
    const results: unknown = await client.query(statements.join(";\n"));
    const answer = (results as readonly { readonly rows: readonly Answer[] }[]).at(-2);
    return answer?.rows[0]?.outcomes.split(" ") ?? [];
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw databaseFault(error, `try the walls of ${tenantId}`);
  }
}

interface Answer {
  readonly outcomes: string;
}

/** A failure undoes what its statement did, and the next one is tried all the same. */
function trying(statements: readonly string[], gently: boolean): string {
  const rest = `
        if cardinality(outcomes) % ${PROBES_AT_ONCE} = 0 then
          perform pg_catalog.pg_sleep(${REST_SECONDS});
        end if;`;
  const literals = statements.map(quoteLiteral).join(", ");
  return `do $probes$
    declare
      tried text;
      met bigint;
      outcomes text[] := '{}';
    begin
      foreach tried in array array[${literals}]::text[] loop${gently ? rest : ""}
        begin
          execute tried;
          get diagnostics met = row_count;
          outcomes := outcomes || case when met > 0 then 'some' else 'none' end;
        exception when others then
          outcomes := outcomes || sqlstate;
        end;
      end loop;
      perform set_config('${OUTCOMES}', array_to_string(outcomes, ' '), true);
    end $probes$`;
}

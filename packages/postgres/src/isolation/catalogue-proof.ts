/**
 * Proves from the catalogue that tenants are apart: all that are asked for at once, each rule set
 * at a time. No object of a tenant is touched, and nothing that a tenant could hold is waited for.
 */
import type { TenantId } from "@aerodb/model";
import type { Client, QueryResult } from "pg";
import { databaseFault } from "../database-fault.ts";
import { quoteLiteral } from "../identifier.ts";
import { HOLDING_TABLES, tenantTables } from "./proof-tables.ts";
import { counted, holds, type JudgedRule, type Rule } from "./rule.ts";
import { type ProofScope, rulesFor } from "./rules.ts";
import { HOLDS_NOTHING } from "./rules-of-roles.ts";

export interface AskedTenant {
  readonly tenantId: TenantId;
  /** What its plan gives it; any limit will do when left out. */
  readonly connectionLimit?: number;
}

/** What is known before a proof begins. */
export interface KnownBefore {
  /** What was found of the instance a moment ago, which is taken for what it is now. */
  readonly instance?: readonly JudgedRule[] | undefined;
  /**
   * Whether the tenants were only just made. Where one holds nothing, which is looked at in the
   * same snapshot, rules that look at nothing else are taken to hold: asking them costs most of a
   * proof.
   */
  readonly fresh?: boolean;
}

export interface CatalogueProof {
  readonly tenants: ReadonlyMap<TenantId, readonly JudgedRule[]>;
  /** Of the instance that they live in. */
  readonly instance: readonly JudgedRule[];
}

/**
 * What is dropped while it is looked at reads as broken: what does not hold is looked at again.
 */
const LOOKS = 3;
const ONE_TENANT_MS = 10_000;

export async function proveCatalogue(
  client: Client,
  scope: ProofScope,
  asked: readonly AskedTenant[],
  known: KnownBefore = {},
): Promise<CatalogueProof> {
  try {
    const proof = await look(client, scope, { asked, known });
    return await lookAgain(client, scope, { asked, proof, looks: 1 });
  } catch (error) {
    throw databaseFault(error, "prove the isolation of its tenants");
  }
}

async function lookAgain(
  client: Client,
  scope: ProofScope,
  sofar: {
    readonly asked: readonly AskedTenant[];
    readonly proof: CatalogueProof;
    readonly looks: number;
  },
): Promise<CatalogueProof> {
  const { asked, proof, looks } = sofar;
  const broken = asked.filter(({ tenantId }) => !proof.tenants.get(tenantId)?.every(holds));
  if (looks === LOOKS || (broken.length === 0 && proof.instance.every(holds))) return proof;
  // In an instance of its own a tenant that is not asked for would be taken for a stranger.
  const next = scope.shared ? broken : asked;
  const again = await look(client, scope, { asked: next });
  const tenants = new Map([...proof.tenants, ...again.tenants]);
  const instance = again.instance;
  return lookAgain(client, scope, { asked: next, proof: { tenants, instance }, looks: looks + 1 });
}

interface FoundRow {
  readonly rule: string;
  readonly tenant: string | null;
  readonly checked: number;
  readonly held: number;
  readonly violations: readonly string[] | null;
}

async function look(
  client: Client,
  scope: ProofScope,
  what: { readonly asked: readonly AskedTenant[]; readonly known?: KnownBefore },
): Promise<CatalogueProof> {
  const { asked, known: { instance, fresh = false } = {} } = what;
  const rules = rulesFor(scope);
  const ofTenants = rules.filter((rule) => rule.scope === "tenant");
  const ofInstance = rules.filter((rule) => rule.scope === "instance");
  const questions = [
    ...(fresh ? [HOLDS_NOTHING, ...ofTenants.filter((rule) => !rule.ofHoldings)] : ofTenants),
    ...(instance === undefined ? ofInstance : []),
  ];
  const found = await ask(client, questions, asked);
  const judged = ({ id }: Rule, tenant: string | null): JudgedRule => {
    const { checked = 0, held = 0, violations } = found.get(keyOf(id, tenant)) ?? {};
    return { id, checked, held, violations: violations ?? [] };
  };
  const proof = {
    tenants: new Map(
      asked.map(({ tenantId }) => [tenantId, ofTenants.map((rule) => judged(rule, tenantId))]),
    ),
    instance: instance ?? ofInstance.map((rule) => judged(rule, null)),
  };
  const holders = fresh
    ? asked.filter(({ tenantId }) => !holds(judged(HOLDS_NOTHING, tenantId)))
    : [];
  if (holders.length === 0) return proof;
  const whole = await look(client, scope, { asked: holders, known: { instance: proof.instance } });
  return { ...proof, tenants: new Map([...proof.tenants, ...whole.tenants]) };
}

/**
 * In one message: that the answer is planned anew costs less than the round trips would, and any
 * schema that is made makes plans worthless.
 */
async function ask(
  client: Client,
  rules: readonly Rule[],
  asked: readonly AskedTenant[],
): Promise<ReadonlyMap<string, FoundRow>> {
  const opening = [
    // A snapshot that sees one moment, in which nothing can be written.
    "begin isolation level repeatable read read only",
    // How expressions are written out is compared; compiling the question costs more than it.
    "set local quote_all_identifiers = off",
    "set local jit = off",
    // What one tenant holds must not take the time of the others.
    ...(asked.length === 1 ? [`set local statement_timeout = '${ONE_TENANT_MS}ms'`] : []),
  ];
  const message = [...opening, question(rules, asked), "commit"].join(";\n");
  try {
    const results: unknown = await client.query(message);
    const answer = (results as readonly QueryResult<FoundRow>[])[opening.length];
    return new Map(answer?.rows.map((row) => [keyOf(row.rule, row.tenant), row]));
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw error;
  }
}

function keyOf(rule: string, tenant: string | null): string {
  return `${rule} ${tenant ?? ""}`;
}

function question(rules: readonly Rule[], asked: readonly AskedTenant[]): string {
  const rows = asked.map(({ tenantId, connectionLimit = null }) => {
    return `(${quoteLiteral(tenantId)}::pg_catalog.text, ${connectionLimit}::pg_catalog.int4)`;
  });
  const who =
    rows.length > 0
      ? `values ${rows.join(", ")}`
      : "select null::pg_catalog.text, null::pg_catalog.int4 where false";
  // What no rule reads would be compiled all the same.
  const isOfHoldings = ({ ofHoldings, scope }: Rule) => ofHoldings || scope === "instance";
  const held = rules.some(isOfHoldings) ? HOLDING_TABLES : "";
  return `${tenantTables(who)}${held}\n${rules.map(counted).join("\nunion all\n")}`;
}

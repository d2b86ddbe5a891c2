/** The whole proof of tenants' isolation: what the catalogue says of them, and what they can do. */
import { Fault, messageOf, type TenantId } from "@aerodb/model";
import { monotonicMs, sleep } from "@aerodb/runtime";
import { type Client, DatabaseError } from "pg";
import { databaseFault } from "../database-fault.ts";
import { ensureCanary } from "./canary.ts";
import { type AskedTenant, type KnownBefore, proveCatalogue } from "./catalogue-proof.ts";
import { RUNTIME_RULES } from "./probes.ts";
import { holds, type JudgedRule, type Rule } from "./rule.ts";
import { type ProofScope, rulesFor } from "./rules.ts";
import { proveAtRuntime, type RuntimeScope } from "./runtime-proof.ts";

export interface TenantProof {
  readonly tenantId: TenantId;
  /** Those of the tenant, of the instance that it lives in, and of what it tried. */
  readonly rules: readonly JudgedRule[];
  /** Why not all of them could be asked: what is missing is not known to hold. */
  readonly unproven?: string;
}

/** Whether a tenant is proven to be apart from all others. */
export function isProven(proof: Pick<TenantProof, "rules" | "unproven">): boolean {
  return proof.unproven === undefined && proof.rules.every(holds);
}

/** Of a tenant whose proofs come to no end for longer than anybody may go unproven. */
export const PROOF_ENDS = {
  id: "proof.ends",
  subject: "proofs",
  sentence: "The tenant can be proven within an hour.",
} as const;

export interface ProofManner extends KnownBefore {
  /**
   * Whether a proof of many rests between its steps, so that its server has most of the time for
   * its tenants. It takes longer then.
   */
  readonly gently?: boolean;
}

/**
 * How many are judged at once. Nothing rests meanwhile; but each time all that a server holds is
 * gone through, so fewer at once take longer together.
 */
const AT_ONCE = 250;
/** What it rests, in times of what a step took, and how long at most for each tenant in it. */
const RESTS = 4;
const MOST_REST_MS = 20;

/** Where what a tenant holds, or holds locked, may be what a question failed for. */
const OF_ONE_TENANT = ["40P01", "53200", "55P03", "57014"];

/**
 * Proves tenants of an instance, all at once. Changes nothing of a tenant; in a shared instance the
 * platform's canary is made where it is missing. One that cannot be proven to the end says why, and
 * keeps no other from being proven. Safe to repeat and to race with whatever tenants do.
 */
export async function proveIsolation(
  client: Client,
  scope: ProofScope,
  asked: readonly AskedTenant[],
  { gently = false, ...known }: ProofManner = {},
): Promise<readonly TenantProof[]> {
  // Whoever knows the instance made it then.
  if (scope.shared && known.instance === undefined) await ensureCanary(client);
  const major = await majorOf(client);
  const judged: TenantProof[] = [];
  let knowing = known;
  // What is asked of the instance is asked once, and of no tenant as well where there is none.
  for (let at = 0; at === 0 || at < asked.length; at += AT_ONCE) {
    const some = asked.slice(at, at + AT_ONCE);
    const judging = () => judgeAll(client, scope, some, knowing);
    const found = await (gently ? restingAfter(some.length, judging) : judging());
    judged.push(...found);
    knowing = { ...known, instance: known.instance ?? rulesOfInstance(found[0]?.rules ?? []) };
  }
  const proofs: TenantProof[] = [];
  for (const found of judged) {
    // Who is not there can try nothing, and was found missing.
    const present = found.rules.every((rule) => rule.id !== "role.present" || holds(rule));
    if (found.unproven !== undefined || !present) proofs.push(found);
    else proofs.push(await withAttempts(client, { ...scope, major, gently }, found));
  }
  return proofs;
}

/** Does a step for some tenants, and rests. */
async function restingAfter<Value>(tenants: number, step: () => Promise<Value>): Promise<Value> {
  const startedMs = monotonicMs();
  const value = await step();
  await sleep(Math.min((monotonicMs() - startedMs) * RESTS, MOST_REST_MS * tenants));
  return value;
}

async function withAttempts(
  client: Client,
  scope: RuntimeScope,
  found: TenantProof,
): Promise<TenantProof> {
  try {
    const tried = await proveAtRuntime(client, scope, found.tenantId);
    return { ...found, rules: [...found.rules, ...tried] };
  } catch (error) {
    return { ...found, unproven: reasonOfOne(error) };
  }
}

/** What the catalogue says of all; where that cannot be had at once, of each by itself. */
async function judgeAll(
  client: Client,
  scope: ProofScope,
  asked: readonly AskedTenant[],
  known: KnownBefore,
): Promise<readonly TenantProof[]> {
  const judge = async (some: readonly AskedTenant[], knowing: KnownBefore) => {
    const { tenants, instance } = await proveCatalogue(client, scope, some, knowing);
    return [...tenants].map(([tenantId, rules]) => ({ tenantId, rules: [...rules, ...instance] }));
  };
  try {
    return await judge(asked, known);
  } catch (error) {
    reasonOfOne(error);
    if (!scope.shared) throw error;
  }
  const { instance } = await proveCatalogue(client, scope, [], known);
  const proofs: TenantProof[] = [];
  for (const one of asked) {
    const judged = await judge([one], { ...known, instance }).catch((error: unknown) => {
      return [{ tenantId: one.tenantId, rules: instance, unproven: reasonOfOne(error) }];
    });
    proofs.push(...judged);
  }
  return proofs;
}

/** Why a question failed that one tenant can make fail; throws what is nobody's in particular. */
function reasonOfOne(error: unknown): string {
  const { cause } = error instanceof Fault ? error : {};
  const code = cause instanceof DatabaseError ? (cause.code ?? "") : "";
  if (!OF_ONE_TENANT.includes(code)) throw error;
  return messageOf(error);
}

/** The server said it when the session began. */
async function majorOf(client: Client): Promise<number> {
  try {
    const { rows } = await client.query<{ major: number }>(
      "select pg_catalog.current_setting('server_version_num')::int4 / 10000 as major",
    );
    return rows[0]?.major ?? 0;
  } catch (error) {
    throw databaseFault(error, "say which version it is");
  }
}

/** Those that are about the instance that a tenant lives in. */
export function rulesOfInstance(rules: readonly JudgedRule[]): readonly JudgedRule[] {
  return rules.filter(({ id }) => OF_INSTANCE.has(id));
}

/** What a rule is about, by its id; undefined for one that a newer agent knows. */
export function ruleNamed(id: string): Pick<Rule, "subject" | "sentence"> | undefined {
  return NAMED.get(id);
}

const ALL_RULES = [
  ...rulesFor({ shared: false, forced: true }),
  ...rulesFor({ shared: true, forced: true }),
];
const OF_INSTANCE: ReadonlySet<string> = new Set(
  ALL_RULES.flatMap(({ id, scope }) => (scope === "instance" ? [id] : [])),
);

const NAMED: ReadonlyMap<string, Pick<Rule, "subject" | "sentence">> = new Map(
  [...ALL_RULES, ...RUNTIME_RULES, PROOF_ENDS].map((rule) => {
    const { id, subject, sentence } = rule;
    return [id, { subject, sentence }];
  }),
);

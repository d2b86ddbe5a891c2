/**
 * Proofs that tenants are apart from each other: taken in from hosts, acted upon, and shown with a
 * signature. A tenant of which a rule does not hold is refused by gateways until all hold again.
 */
import { Fault, type HostId, type Isolation, type TenantId } from "@aerodb/model";
import { ruleNamed } from "@aerodb/postgres";
import { findInstanceHost } from "../store/hosts.ts";
import {
  findIsolationProof,
  type IsolationProof,
  isProven,
  type JudgedRule,
  keepIsolationProofs,
  listQuarantined,
  noteUnproven,
  type StoredProof,
} from "../store/isolation-proofs.ts";
import { setQuarantine } from "../store/tenant-quarantine.ts";
import type { Control } from "./control.ts";
import type { HostQuestions } from "./host-questions.ts";
import { requireTenant } from "./tenant-view.ts";
import { cleanText } from "./text.ts";

export type { IsolationProof };

/** Signs for the platform. */
export interface Signer {
  /** In Base64. */
  sign(text: string): string;
  /** What tells the key from others. */
  readonly keyId: string;
}

export interface RuleReport extends JudgedRule {
  readonly subject: string;
  readonly sentence: string;
}

export interface IsolationReport extends Omit<StoredProof, "rules"> {
  readonly rules: readonly RuleReport[];
  readonly notHidden: readonly string[];
  /** All of that, as it was signed. */
  readonly document: string;
  readonly signature: string;
  readonly keyId: string;
}

const MAX_RULES = 200;
const MAX_NAMED = 5;
const MAX_TEXT = 200;

/** What stock Postgres shows to everybody who may log in to the same server. */
export const NOT_HIDDEN: Readonly<Record<Isolation, readonly string[]>> = {
  schema: [
    "Names of other tenants' roles, schemas, tables, columns and functions, and the source of " +
      "functions, can be read in the catalogue: the platform's own names say nothing, and no " +
      "secret belongs into a name, a comment or the source of a function.",
    "Definitions of other tenants' views, indexes, constraints, defaults and policies, labels of " +
      "enumerations, comments and settings of roles can be read there too, with the values that " +
      "are written in them.",
    "How many tenants there are, how large their tables are, whose writes are refused over " +
      "quota, how many transactions they run, when their sessions are busy and what " +
      "applications call themselves can be read or estimated from the catalogue and from " +
      "statistics.",
    "Channels of NOTIFY and keys of advisory locks are one space for all tenants of an instance: " +
      "payloads are no secret, and keys can collide.",
    "Of tables that the operator shares among tenants, estimates tell how many rows each has, " +
      "how many of all satisfy the condition of a partial index, sequences how many all have " +
      "made, and plans that are carried out whether anybody has a row in which a column is null " +
      "or true and where rows of others lie; one who locks such a table makes the others wait.",
    "The table of locks is one for all tenants of an instance: those who take most of what is " +
      "too much lose their sessions within seconds, and until then others can neither log in nor " +
      "write.",
    "Functions of Postgres lock what they are given before they look at rights: one who keeps " +
      "another from its own tables by that loses its session within seconds.",
    "What one does can take from all: a transaction that stays open keeps the dead rows of all, " +
      "and has an index that another makes concurrently wait, numbers of one sequence can be " +
      "used up, " +
      "notifications that nobody reads fill one queue, functions in indexes occupy the workers " +
      "that vacuum and analyze tables for a minute each time, and several sessions at once can " +
      "use up the memory, upon which the server begins anew and every session of it ends.",
    "A statement in which Postgres does not look whether it should end goes on, also when its " +
      "tenant was suspended: it is connected to nobody then.",
    "Tenants share memory, processors and the disk of one server: how long things take says " +
      "something of the others.",
  ],
  database: [
    "Tenants share processors and disks of a host: how long things take says something of the " +
      "others.",
  ],
  cluster: ["The platform's operators see that the tenant is there, and how much it uses."],
};

/** Takes in what a host found of its tenants. What is not its to say is dropped. */
export async function takeIsolationProofs(
  control: Control,
  hostId: HostId,
  proofs: readonly IsolationProof[],
): Promise<void> {
  const cleaned = proofs.map(clean);
  for (const proof of cleaned.filter(isUnfinished)) {
    const { tenantId, unprovenBecause: because } = proof;
    control.logger.warn({ tenant: tenantId, because }, "a tenant could not be proven to the end");
    await noteUnproven(control.database, hostId, proof);
  }
  const finished = cleaned.filter((proof) => !isUnfinished(proof));
  const newest = new Map(finished.map((proof) => [proof.tenantId, proof]));
  if (newest.size === 0) return;
  const kept = await keepIsolationProofs(control.database, hostId, [...newest.values()]);
  const quarantined = new Set(await listQuarantined(control.database, kept));
  for (const tenantId of kept) {
    const proof = newest.get(tenantId);
    if (proof === undefined) continue;
    sayHealed(control, proof);
    if (isProven(proof) && !quarantined.has(tenantId)) continue;
    await act(control, tenantId, proof);
  }
}

/** One that found nothing wrong as far as it came: what was found before stays the newest. */
function isUnfinished({ unprovenBecause, rules }: IsolationProof): boolean {
  return unprovenBecause !== "" && rules.every(({ checked, held }) => checked === held);
}

function clean(proof: IsolationProof): IsolationProof {
  const rules = proof.rules.slice(0, MAX_RULES).map((rule) => ({
    ...rule,
    id: cleanText(rule.id, MAX_TEXT),
    violations: rule.violations.slice(0, MAX_NAMED).map((name) => cleanText(name, MAX_TEXT)),
  }));
  const healedRules = proof.healedRules.slice(0, MAX_RULES).map((id) => cleanText(id, MAX_TEXT));
  const unprovenBecause = cleanText(proof.unprovenBecause, MAX_TEXT);
  const engine = cleanText(proof.engine, MAX_TEXT);
  return { ...proof, engine, rules, healedRules, unprovenBecause };
}

function sayHealed({ logger }: Control, { tenantId, healedRules }: IsolationProof): void {
  if (healedRules.length === 0) return;
  logger.warn({ tenant: tenantId, rules: healedRules }, "walls of a tenant were mended");
}

async function act(control: Control, tenantId: TenantId, proof: IsolationProof): Promise<void> {
  const reason = isProven(proof) ? undefined : reasonOf(proof);
  const generation = await setQuarantine(control.database, tenantId, reason);
  if (generation === undefined) return;
  if (reason === undefined) {
    control.logger.info({ tenant: tenantId }, "isolation holds again: the tenant is served");
  } else {
    const sentence = "isolation does not hold: the tenant is not served";
    control.logger.warn({ tenant: tenantId, because: reason }, sentence);
  }
}

/** In a few words, for who is refused and who looks why. */
function reasonOf({ rules }: IsolationProof): string {
  const broken = rules.filter(({ checked, held }) => checked !== held);
  const said = broken.slice(0, MAX_NAMED).map(({ id, violations: [first] }) => {
    return first === undefined ? id : `${id} (${first})`;
  });
  const more = broken.length > said.length ? ` and ${broken.length - said.length} more` : "";
  return `its isolation is not proven: ${said.join(", ") || "nothing was checked"}${more}`;
}

/** The newest proof of a tenant. TENANT_NOT_FOUND; UNAVAILABLE when there is none yet. */
export async function getTenantIsolation(
  control: Control,
  signer: Signer,
  named: string,
): Promise<IsolationReport> {
  const { id, name } = await requireTenant(control, named);
  const proof = await findIsolationProof(control.database, id);
  if (proof === undefined) {
    throw new Fault(
      "UNAVAILABLE",
      `The isolation of ${name} was not proven yet: ask again in a moment, or have it proven.`,
    );
  }
  return reportOf(proof, signer);
}

/** Has a tenant proven now, and acts upon it. TENANT_NOT_FOUND; UNAVAILABLE without its host. */
export async function proveTenantIsolation(
  control: Control,
  signer: Signer,
  ask: {
    readonly questions: HostQuestions;
    readonly tenant: string;
    readonly signal: AbortSignal;
  },
): Promise<IsolationReport> {
  const { id, instanceId } = await requireTenant(control, ask.tenant);
  const hostId = await findInstanceHost(control.database, instanceId);
  if (hostId === undefined) throw new Fault("UNAVAILABLE", "The tenant has no host.");
  const answer = await ask.questions.ask(hostId, { kind: "proof", tenantId: id }, ask.signal);
  // Through the catalogue a time comes as text.
  const proof = { ...answer, provenAt: new Date(answer.provenAt) };
  await takeIsolationProofs(control, hostId, [proof]);
  return getTenantIsolation(control, signer, id);
}

function reportOf(proof: StoredProof, signer: Signer): IsolationReport {
  const rules = proof.rules.map((rule) => ({
    subject: "",
    sentence: "",
    ...ruleNamed(rule.id),
    ...rule,
  }));
  const notHidden = NOT_HIDDEN[proof.isolation];
  const document = canonicalJson({
    tenant_id: proof.tenantId,
    isolation: proof.isolation,
    proven_at: proof.provenAt.toISOString(),
    engine: proof.engine,
    proven: proof.proven,
    rules: rules.map(({ id, subject, sentence, checked, held, violations }) => {
      return { id, subject, sentence, checked, held, violations };
    }),
    not_hidden: notHidden,
  });
  const signature = signer.sign(document);
  return { ...proof, rules, notHidden, document, signature, keyId: signer.keyId };
}

/** JSON in one way only: keys in their order, nothing between. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  const pairs = entries.map(([key, each]) => `${JSON.stringify(key)}:${canonicalJson(each)}`);
  return `{${pairs.join(",")}}`;
}

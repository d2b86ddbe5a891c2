/**
 * Proves that the tenants on this host are apart from each other: each before it is ready for the
 * first time, all of an instance when something was written in it and at least once an hour, and
 * one whenever somebody asks. What can be mended is mended first.
 */
import { Fault, type InstanceId, messageOf, type TenantId } from "@aerodb/model";
import {
  holds,
  isProven,
  type JudgedRule,
  PROOF_ENDS,
  type ProofManner,
  rulesOfInstance,
  type TenantProof,
} from "@aerodb/postgres";
import { type Logger, monotonicMs, now } from "@aerodb/runtime";
import type { DesiredTenant } from "./desired.ts";
import type { InstanceDriver, RunningInstance } from "./drivers/driver.ts";
import type { HostState } from "./host-state.ts";
import { rehearse } from "./rehearsal.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";

/** The newest proof of a tenant. */
export interface KeptProof extends TenantProof {
  readonly running: RunningInstance;
  /** When it was begun: whatever was done later it need not have seen. */
  readonly provenAt: Date;
  /** Rules that did not hold until what can be mended was. */
  readonly healed: readonly string[];
}

/**
 * Whether a proof came to no end and found nothing wrong: it says nothing, and what was found
 * before stays the newest.
 */
export function isUnfinished(proof: Pick<TenantProof, "rules" | "unproven">): boolean {
  return proof.unproven !== undefined && proof.rules.every(holds);
}

export interface IsolationPorts {
  readonly state: HostState;
  readonly driver: Pick<InstanceDriver, "records">;
  readonly tenants: TenantKeeper;
  readonly logger: Logger;
  /** Told of proofs that are news. */
  readonly proven: (proofs: readonly KeptProof[]) => void;
}

/** Tenants of a server that wait to be admitted; they are proven together. */
interface Admission {
  readonly tenants: DesiredTenant[];
  readonly proofs: Promise<readonly KeptProof[]>;
}

/** What proofs found, and when they were begun. */
interface Found {
  readonly found: readonly TenantProof[];
  readonly provenAt: Date;
}

/** When the tenants of a server were last proven all at once. */
interface Round {
  readonly mark: string;
  readonly atMs: number;
  readonly tookMs: number;
}

/** Of many tenants that are made at once, each needs not prove the instance again. */
const KNOWN_MS = 10_000;
const AT_LEAST_MS = 60 * 60_000;
/** Of a processor, proofs of a server that is always written to take no more than this part. */
const MOST_PART = 1 / 20;
/** Shorter ones are not felt. */
const QUICK_MS = 100;
/**
 * However long one took: with a look every 45 s the next comes within a minute, for nobody must be
 * able to put it off by making it long.
 */
const MOST_PAUSE_MS = 15_000;

export class IsolationWatch {
  readonly #ports: IsolationPorts;
  readonly #newest = new Map<TenantId, KeptProof>();
  /** What was found last of an instance itself, and how long that is taken for what it is. */
  readonly #known = new WeakMap<
    RunningInstance,
    { readonly rules: readonly JudgedRule[]; readonly untilMs: number }
  >();
  readonly #rounds = new WeakMap<RunningInstance, Round>();
  readonly #admitting = new WeakMap<RunningInstance, Promise<unknown>>();
  readonly #waiting = new Map<RunningInstance, Admission>();
  /** Of which the newest attempt at a proof came to no end, since when: told once. */
  readonly #unfinished = new Map<TenantId, number>();

  constructor(ports: IsolationPorts) {
    this.#ports = ports;
  }

  /** The newest proof of every tenant that should be here. */
  newest(): readonly KeptProof[] {
    for (const tenantId of this.#newest.keys()) {
      if (this.#ports.state.tenant(tenantId)?.present !== true) this.#newest.delete(tenantId);
    }
    for (const tenantId of this.#unfinished.keys()) {
      if (this.#ports.state.tenant(tenantId)?.present !== true) this.#unfinished.delete(tenantId);
    }
    return [...this.#newest.values()];
  }

  /** Proves an instance that is nobody's: it stays as it is until its tenant is admitted. */
  async prepare(running: RunningInstance): Promise<void> {
    const rules = await rehearse(this.#ports.tenants, running);
    this.#known.set(running, { rules, untilMs: Number.POSITIVE_INFINITY });
  }

  /**
   * Proves a tenant that was only just made, once for each server, and together with those that
   * came meanwhile. Throws UNAVAILABLE when it cannot be proven: it is not ready then.
   */
  async admit(running: RunningInstance, tenant: DesiredTenant): Promise<void> {
    const before = this.#newest.get(tenant.tenantId);
    if (before?.running === running && isProven(before)) return;
    const proofs = await this.#admissionWith(running, tenant).proofs;
    const proof = proofs.find(({ tenantId }) => tenantId === tenant.tenantId);
    if (proof !== undefined && isProven(proof)) return;
    const broken = proof?.rules.filter((rule) => !holds(rule)).map(said) ?? [];
    if (proof?.unproven !== undefined) broken.push(proof.unproven);
    const sentence = `The isolation of ${tenant.tenantId} is not proven: ${broken.join(", ")}.`;
    throw new Fault("UNAVAILABLE", sentence);
  }

  /**
   * Proves a tenant that was there before, and may come back as it is: where a wall of it is
   * broken, gateways refuse it and say why, and nobody waits for what will not come. Never rejects.
   */
  async readmit(running: RunningInstance, tenant: DesiredTenant): Promise<void> {
    try {
      await this.admit(running, tenant);
    } catch (error) {
      const because = messageOf(error);
      this.#ports.logger.warn({ tenant: tenant.tenantId, because }, "came back as it was");
    }
  }

  /** One round of a server at a time: who comes while it goes on waits for the next. */
  #admissionWith(running: RunningInstance, tenant: DesiredTenant): Admission {
    const waiting = this.#waiting.get(running);
    if (waiting !== undefined) {
      waiting.tenants.push(tenant);
      return waiting;
    }
    const tenants = [tenant];
    const before = this.#admitting.get(running) ?? Promise.resolve();
    const proofs = before.then(() => {
      this.#waiting.delete(running);
      return this.#prove(running, tenants, {
        manner: { instance: this.#knownOf(running), fresh: true },
      });
    });
    const admission = { tenants, proofs };
    this.#waiting.set(running, admission);
    this.#admitting.set(
      running,
      proofs.catch(() => undefined),
    );
    return admission;
  }

  /**
   * Proves one tenant now. Throws UNAVAILABLE when its server does not run. `healed`: what was
   * mended before.
   */
  async proveNow(tenantId: TenantId, healed: readonly string[] = []): Promise<KeptProof> {
    const { state } = this.#ports;
    const tenant = state.tenant(tenantId);
    const running = tenant && state.seen(tenant.instanceId)?.running;
    if (tenant?.present !== true || running === undefined) {
      throw new Fault("UNAVAILABLE", `The tenant ${tenantId} is in no server that runs here.`);
    }
    const [proof] = await this.#prove(running, [tenant], { healed });
    if (proof === undefined) throw new Error(`bug: no proof of ${tenantId}`);
    return proof;
  }

  /** Tells of what was mended elsewhere, with a proof that is newer than that. Never rejects. */
  async healed({ tenantId }: DesiredTenant, rules: readonly string[]): Promise<void> {
    const { logger } = this.#ports;
    logger.warn({ tenant: tenantId, healed: rules }, "a tenant was not what it should be");
    try {
      await this.proveNow(tenantId, rules);
    } catch (error) {
      logger.warn({ tenant: tenantId, because: messageOf(error) }, "could not prove a tenant");
    }
  }

  /**
   * Proves all tenants of a running instance, if something was written since or an hour went by. A
   * server in which nothing was written is not asked: what is idle stays idle. Returns whether it
   * was.
   */
  async check(id: InstanceId): Promise<boolean> {
    const { state, driver } = this.#ports;
    const seen = state.seen(id);
    const { running, tenants: listed } = seen ?? {};
    if (running === undefined || listed === undefined) return false;
    const asked = [...state.tenantsOf(id)].flatMap((tenantId) => {
      const tenant = state.tenant(tenantId);
      return tenant?.present && listed.has(tenantId) ? [tenant] : [];
    });
    if (asked.length === 0) return false;
    const mark = await driver.records.writeMark(id);
    if (!this.#isDue(running, mark, asked)) return false;

    const startedMs = monotonicMs();
    await this.#prove(running, asked, { manner: { gently: true } });
    const atMs = monotonicMs();
    this.#rounds.set(running, { mark, atMs, tookMs: atMs - startedMs });
    return true;
  }

  #isDue(running: RunningInstance, mark: string, asked: readonly DesiredTenant[]): boolean {
    const round = this.#rounds.get(running);
    if (round === undefined) return true;
    const sinceMs = monotonicMs() - round.atMs;
    const pauseMs = Math.min(round.tookMs / MOST_PART, MOST_PAUSE_MS);
    if (round.tookMs > QUICK_MS && sinceMs < pauseMs) return false;
    const isBroken = ({ tenantId }: DesiredTenant): boolean => {
      const proof = this.#newest.get(tenantId);
      return proof?.running !== running || !isProven(proof) || this.#unfinished.has(tenantId);
    };
    return mark !== round.mark || sinceMs >= AT_LEAST_MS || asked.some(isBroken);
  }

  async #prove(
    running: RunningInstance,
    asked: readonly DesiredTenant[],
    before: { readonly manner?: ProofManner; readonly healed?: readonly string[] } = {},
  ): Promise<readonly KeptProof[]> {
    const { manner, healed: alreadyHealed = [] } = before;
    const startedAt = now();
    const first = await this.#ports.tenants.prove(running, asked, manner);
    const mended = await this.#mendInstance(running, asked, { found: first, provenAt: startedAt });
    const { found, provenAt, healed: healedOfInstance } = mended;
    const ofInstance = rulesOfInstance(found[0]?.rules ?? []);
    if (manner?.instance === undefined) this.#remember(running, ofInstance);
    const healed = [...alreadyHealed, ...healedOfInstance];
    const proofs: KeptProof[] = [];
    for (const proof of found) {
      const tenant = asked.find(({ tenantId }) => tenantId === proof.tenantId);
      const kept = { ...proof, running, provenAt, healed };
      proofs.push(proof.rules.every(holds) || !tenant ? kept : await this.#mend(kept, tenant));
    }
    // Who was dropped or moved meanwhile broke nothing.
    const current = proofs.filter(({ tenantId }) => {
      const tenant = this.#ports.state.tenant(tenantId);
      return tenant?.present === true && tenant.instanceId === running.id;
    });
    this.#ports.proven(current.flatMap((proof) => this.#keep(proof) ?? []));
    return current;
  }

  /** Keeps a proof; undefined when it is no news. */
  #keep(proof: KeptProof): KeptProof | undefined {
    const { tenantId, unproven: because } = proof;
    const newest = this.#newest.get(tenantId);
    // One of many tenants takes its time: somebody may have asked for this one meanwhile.
    if (newest !== undefined && newest.provenAt > proof.provenAt) return undefined;
    const nowMs = monotonicMs();
    const sinceMs = this.#unfinished.get(tenantId);
    if (because === undefined) this.#unfinished.delete(tenantId);
    else this.#unfinished.set(tenantId, sinceMs ?? nowMs);
    const isLate = because !== undefined && nowMs - (sinceMs ?? nowMs) >= AT_LEAST_MS;
    const kept = isLate ? neverEnding(proof, because) : proof;
    if (!isUnfinished(kept)) {
      this.#newest.set(tenantId, kept);
      return kept;
    }
    this.#ports.logger.warn({ tenant: tenantId, because }, "could not prove a tenant to the end");
    return sinceMs === undefined ? kept : undefined;
  }

  /** What was found of the instance, while that is fresh and everything held. */
  #knownOf(running: RunningInstance): readonly JudgedRule[] | undefined {
    const known = this.#known.get(running);
    if (known === undefined || monotonicMs() > known.untilMs) return undefined;
    if (known.untilMs === Number.POSITIVE_INFINITY) this.#remember(running, known.rules);
    return known.rules.every(holds) ? known.rules : undefined;
  }

  #remember(running: RunningInstance, rules: readonly JudgedRule[]): void {
    this.#known.set(running, { rules, untilMs: monotonicMs() + KNOWN_MS });
  }

  /**
   * Makes right what all tenants of an instance stand behind, once, and proves them again. What it
   * cannot make right is left to be found in each. Never rejects for what it does itself.
   */
  async #mendInstance(
    running: RunningInstance,
    asked: readonly DesiredTenant[],
    before: Found,
  ): Promise<Found & { readonly healed: readonly string[] }> {
    const { state, tenants, driver, logger } = this.#ports;
    const broken = brokenIn(rulesOfInstance(before.found[0]?.rules ?? []));
    const spec = state.instance(running.id)?.spec;
    if (broken.length === 0 || spec === undefined) return { ...before, healed: [] };
    try {
      if (broken.includes("instance.hba")) {
        await driver.records.configure(spec);
        await tenants.reload(running);
      }
      await tenants.mendInstance(running, broken);
    } catch (error) {
      logger.warn({ instance: running.id, broken, because: messageOf(error) }, "could not mend it");
      return { ...before, healed: [] };
    }
    const provenAt = now();
    const again = await tenants.prove(running, asked);
    const left = brokenIn(rulesOfInstance(again[0]?.rules ?? []));
    const healed = broken.filter((id) => !left.includes(id));
    logger.warn({ instance: running.id, healed, left }, "walls of an instance did not hold");
    return { found: again, provenAt, healed };
  }

  /** Makes the tenant what it should be and proves it again. Never rejects. */
  async #mend(broken: KeptProof, tenant: DesiredTenant): Promise<KeptProof> {
    const { state, tenants, logger } = this.#ports;
    const { running, tenantId } = broken;
    const rules = broken.rules.filter((rule) => !holds(rule));
    try {
      const spec = state.instance(running.id)?.spec;
      await tenants.mend(running, { ...tenant, dedicated: !spec?.shared });
      const provenAt = now();
      const [proof] = await tenants.prove(running, [tenant]);
      // What is known to be broken is not taken to hold because nobody could look.
      if (proof === undefined || isUnfinished(proof)) return broken;
      const left = brokenIn(proof.rules);
      const mended = brokenIn(rules).filter((id) => !left.includes(id));
      logger.warn({ tenant: tenantId, healed: mended, left }, "isolation did not hold");
      const healed = [...new Set([...broken.healed, ...mended])];
      return { ...proof, running, provenAt, healed };
    } catch (error) {
      const because = messageOf(error);
      logger.warn({ tenant: tenantId, rules: rules.map(said), because }, "could not mend a tenant");
      return broken;
    }
  }
}

/** One that nobody may take for unbroken any more: what makes a proof long may be meant to. */
function neverEnding(proof: KeptProof, because: string): KeptProof {
  const rule = { id: PROOF_ENDS.id, checked: 1, held: 0, violations: [because] };
  return { ...proof, rules: [...proof.rules, rule] };
}

function brokenIn(rules: readonly JudgedRule[]): readonly string[] {
  return rules.filter((rule) => !holds(rule)).map(({ id }) => id);
}

function said({ id, violations: [first] }: JudgedRule): string {
  return first === undefined ? id : `${id} (${first})`;
}

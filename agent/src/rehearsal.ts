import {
  generatePassword,
  type JudgedRule,
  rulesOfInstance,
  scramVerifier,
} from "@aerodb/postgres";
import { newId } from "@aerodb/runtime";
import type { RunningInstance } from "./drivers/driver.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";

/** No tenant has this limit: a plan gives at least one. */
const NO_CONNECTIONS = 0;

/**
 * Makes, proves and drops a tenant that nobody can log in as, in a server that is nobody's yet: it
 * has then done once, and keeps in memory, what its tenant would wait for. Returns what was found
 * of the instance. Safe to repeat, also after one that did not end.
 */
export async function rehearse(
  tenants: TenantKeeper,
  running: RunningInstance,
): Promise<readonly JudgedRule[]> {
  for (const left of await tenants.list(running)) {
    // Of one that did not end. Whatever else is there is not a rehearsal's to drop.
    if (!left.canLogin && left.connectionLimit === NO_CONNECTIONS) {
      await tenants.drop(running, left.tenantId);
    }
  }
  const verifier = await scramVerifier(generatePassword());
  const connectionLimit = NO_CONNECTIONS;
  const nobody = { tenantId: newId("ten"), verifier, connectionLimit, suspended: true };
  try {
    await tenants.ensure(running, { ...nobody, dedicated: true });
    const [proof] = await tenants.prove(running, [nobody], { fresh: true });
    if (proof === undefined) throw new Error("bug: no proof of a rehearsal");
    return rulesOfInstance(proof.rules);
  } finally {
    await tenants.drop(running, nobody.tenantId);
  }
}

/** What disagrees between the catalogue and one host. Pure. */
import type { HostId } from "@aerodb/model";
import type { HostHoldings } from "../store/consistency.ts";

/** Everything that is really on one host, as its agent found it. */
export interface HostAudit {
  readonly hostId: HostId;
  readonly instances: readonly {
    readonly id: string;
    /** 0 when none runs. */
    readonly postmasterPid: number;
    readonly listed: boolean;
    /** Why its tenants could not be read though it runs; empty when they could. */
    readonly unreadable: string;
    /** Whether no sweep touches it: it is not, or not only, what the host's agent has made. */
    readonly foreign: boolean;
  }[];
  readonly tenants: readonly {
    readonly id: string;
    readonly instanceId: string;
    readonly role: boolean;
    readonly schema: boolean;
  }[];
  readonly strayProcesses: readonly { readonly pid: number; readonly directory: string }[];
  readonly strayPaths: readonly string[];
  /** Of those, what the host's agent has not made. */
  readonly foreignPaths: readonly string[];
  readonly trashPaths: readonly string[];
}

export interface Finding {
  readonly kind: string;
  /** Empty: the catalogue itself. */
  readonly hostId: string;
  readonly subject: string;
  /** One sentence that says what is wrong and what to do. */
  readonly detail: string;
}

/** The catalogue before and after the audit; undefined when it does not know the host. */
export interface HoldingsAround {
  readonly before: HostHoldings | undefined;
  readonly after: HostHoldings | undefined;
}

export interface Comparison {
  readonly findings: readonly Finding[];
  readonly instances: number;
  readonly tenants: number;
}

export function compareHost(audit: HostAudit, around: HoldingsAround): Comparison {
  const finding = (kind: string, subject: string, detail: string): Finding => ({
    kind,
    hostId: audit.hostId,
    subject,
    detail,
  });
  const findings = [
    ...orphans(audit, around),
    ...missing(audit, around),
    ...audit.instances.filter(({ unreadable }) => unreadable !== "").map(unreadableInstance),
    ...audit.strayProcesses.map(({ pid, directory }) => ({
      kind: "ORPHAN_PROCESS",
      subject: String(pid),
      detail: `Process ${pid} works in ${directory} and is of no server: look whose it is, end it.`,
    })),
    ...strayPaths(audit),
  ].map(({ kind, subject, detail }) => finding(kind, subject, detail));
  return { findings, instances: audit.instances.length, tenants: audit.tenants.length };
}

type Found = Omit<Finding, "hostId">;

function strayPaths({ strayPaths: paths, foreignPaths }: HostAudit): Found[] {
  const foreign = new Set(foreignPaths);
  return paths.map((path) =>
    foreign.has(path)
      ? {
          kind: "FOREIGN_PATH",
          subject: path,
          detail: `${path} is not the agent's: look what it is and remove it by hand.`,
        }
      : {
          kind: "ORPHAN_PATH",
          subject: path,
          detail: `${path} belongs to nothing: sweep it.`,
        },
  );
}

/** Of what nobody could look into, nothing is said to be missing. */
function unreadableInstance({ id, unreadable }: HostAudit["instances"][number]): Found {
  return {
    kind: "UNREADABLE_INSTANCE",
    subject: id,
    detail: `The tenants of ${id} could not be looked at: ${unreadable} Ask again.`,
  };
}

/** What the host holds and neither look at the catalogue lists. */
function orphans(audit: HostAudit, { before, after }: HoldingsAround): Found[] {
  const known = new Set<string>(
    [before, after].flatMap((holdings) => [
      ...(holdings?.instances ?? []).map(({ id }) => id),
      ...(holdings?.tenants ?? []).map(({ id, instanceId }) => `${id} in ${instanceId}`),
    ]),
  );
  const directories = audit.instances
    .filter(({ id }) => !known.has(id))
    .map(({ id, listed, foreign }) => {
      if (listed) return forgottenInstance(id);
      return foreign ? foreignDirectory(id) : orphanDirectory(id);
    });
  const roles = audit.tenants
    .filter(({ id, instanceId }) => !known.has(`${id} in ${instanceId}`))
    .map(({ id, instanceId }) => ({
      kind: "ORPHAN_ROLE",
      subject: id,
      detail: `${instanceId} holds a role or schema ${id} that the catalogue does not place there.`,
    }));
  return [...directories, ...roles];
}

function orphanDirectory(id: string): Found {
  return {
    kind: "ORPHAN_DIRECTORY",
    subject: id,
    detail: `The host holds the instance ${id}, which the catalogue does not place there.`,
  };
}

function foreignDirectory(id: string): Found {
  const detail =
    `The host holds a directory ${id} that its agent has not made, or in which somebody has ` +
    "mounted something: look what it is and remove that by hand.";
  return { kind: "FOREIGN_DIRECTORY", subject: id, detail };
}

function forgottenInstance(id: string): Found {
  const detail =
    `The host was once told to hold ${id}, and the catalogue does not know it: it may have been ` +
    "restored from an older backup. Find out whose data it is before you sweep it.";
  return { kind: "FORGOTTEN_INSTANCE", subject: id, detail };
}

/** What both looks at the catalogue say should be there and settled, and the host does not hold. */
function missing(audit: HostAudit, { before, after }: HoldingsAround): Found[] {
  if (before === undefined || after === undefined) return [];
  const settledBefore = new Set<string>([
    ...before.instances.filter(isRunning).map(({ id }) => id),
    ...before.tenants.filter(isSettled).map(({ id }) => id),
  ]);
  const held = new Map(audit.instances.map((instance) => [instance.id, instance]));
  const roles = new Map(
    audit.tenants.map((tenant) => [`${tenant.id} ${tenant.instanceId}`, tenant]),
  );
  const instances = after.instances
    .filter((instance) => isRunning(instance) && settledBefore.has(instance.id))
    .flatMap(({ id }) => missingInstance(id, held.get(id)));
  const tenants = after.tenants
    .filter((tenant) => isSettled(tenant) && settledBefore.has(tenant.id))
    .filter(({ instanceId }) => (held.get(instanceId)?.postmasterPid ?? 0) !== 0)
    .filter(({ instanceId }) => held.get(instanceId)?.unreadable === "")
    .filter(({ id, instanceId }) => {
      const found = roles.get(`${id} ${instanceId}`);
      return !(found?.role && found.schema);
    })
    .map(({ id, instanceId }) => ({
      kind: "MISSING_ROLE",
      subject: id,
      detail: `${instanceId} lacks the role or the schema of the tenant ${id}.`,
    }));
  return [...instances, ...tenants];
}

function missingInstance(id: string, held: HostAudit["instances"][number] | undefined): Found[] {
  if (held === undefined) {
    const detail = `The instance ${id} should run here and its directory is not there.`;
    return [{ kind: "MISSING_DIRECTORY", subject: id, detail }];
  }
  if (held.postmasterPid !== 0) return [];
  const detail = `The instance ${id} should run and has no postmaster: look into its log.`;
  return [{ kind: "MISSING_PROCESS", subject: id, detail }];
}

/** A suspended one keeps its role and its schema. */
function isSettled({ status }: HostHoldings["tenants"][number]): boolean {
  return status === "active" || status === "suspended";
}

function isRunning(instance: HostHoldings["instances"][number]): boolean {
  return instance.presence === "present" && instance.state === "running";
}

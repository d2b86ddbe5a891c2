/** What tenants choose for Postgres itself: settings, restarts and extensions. */
import { Fault, type TenantId } from "@aerodb/model";
import {
  ALLOWED_EXTENSIONS,
  acceptSettings,
  isAllowedExtension,
  type SettingBounds,
  waitsForRestart,
} from "@aerodb/postgres";
import { failpoint } from "@aerodb/runtime";
import { findPlanTerms } from "../store/plans.ts";
import {
  changeExtension,
  changeInstance,
  readTenantInstance,
  type TenantInstance,
} from "../store/tenant-instance.ts";
import type { TenantProgress } from "../store/tenants.ts";
import type { Caller, Control } from "./control.ts";
import type { TenantView } from "./tenant-connection.ts";
import { type TenantChange, updateTenant } from "./tenant-update.ts";
import { getTenant, requireTenant, tenantNotActive, tenantNotFound } from "./tenant-view.ts";
import { untilTenant } from "./waiting.ts";

export interface ChangeRequest {
  readonly caller: Caller;
  /** Id or name. */
  readonly tenant: string;
  readonly signal: AbortSignal;
}

/** How long a change waits for its host to say what it came to; it goes on all the same. */
const ANSWER_MS = 5_000;

/**
 * Changes plan, labels and settings: what is refused is refused before anything is written. The
 * answer says what waits for a restart: as the host says, or as is expected if that takes longer.
 * With `apply`, what waits is restarted for.
 */
export async function changeTenant(
  control: Control,
  request: ChangeRequest & { readonly change: TenantChange },
): Promise<TenantView> {
  const { change, caller } = request;
  const restarts = requireApply(change.apply);
  const tenant = await requireTenant(control, request.tenant);
  const instance = await requireInstance(control, tenant.id);
  const settings = await settleSettings(control, { tenant, instance, change });
  // Its plan and labels may change: that may be what it is reinstated for.
  if (tenant.status === "suspended" && (settings.changed || restarts)) {
    throw tenantNotActive(tenant);
  }
  await updateTenant(control, { caller, tenant: tenant.id, change });
  if (settings.changed) await write(control, request, tenant, settings);
  const written = await requireInstance(control, tenant.id);
  if (written.generation !== instance.generation) await answered(control, tenant, request.signal);
  const now = await requireInstance(control, tenant.id);
  if (restarts && now.pendingRestart.length > 0) return restartTenant(control, request);
  return getTenant(control, tenant.id);
}

/** Restarts a tenant's own server and answers once it serves again. */
export async function restartTenant(control: Control, request: ChangeRequest): Promise<TenantView> {
  const tenant = await requireTenant(control, request.tenant);
  const instance = await requireInstance(control, tenant.id);
  if (instance.shared) throw sharesInstance(tenant, "be restarted for it alone");
  await failpoint("control.restart.before_commit");
  await write(control, request, tenant, { restart: true });
  await failpoint("control.restart.after_commit");
  await untilAnswered(control, tenant, {
    signal: request.signal,
    expecting: "its server to serve",
  });
  return getTenant(control, tenant.id);
}

/** Makes an extension available and answers once it is. */
export async function installExtension(
  control: Control,
  request: ChangeRequest & { readonly name: string },
): Promise<TenantView> {
  const { name, caller, signal } = request;
  if (!isAllowedExtension(name)) {
    const allowed = ALLOWED_EXTENSIONS.map((each) => each.name);
    const sentence = `The extension ${JSON.stringify(name)} is not on the list.`;
    throw new Fault("INVALID_ARGUMENT", `${sentence} Allowed are: ${allowed.join(", ")}.`, {
      details: { allowed },
    });
  }
  const tenant = await requireTenant(control, request.tenant);
  const change = {
    ...{ tenantId: tenant.id, name, wanted: true },
    ...{ principal: caller.principal, eventRequestId: caller.requestId },
  };
  const generation = await changeExtension(control.database, change);
  await failpoint("control.extension.after_commit");
  if (generation === undefined) throw tenantNotActive(tenant);
  const expecting = `the extension ${name}`;
  const done = await untilTenant(control, { tenantId: tenant.id, expecting, signal }, async () => {
    const now = await requireInstance(control, tenant.id);
    return now.tenantObservedGeneration >= generation ? now : undefined;
  });
  if (done.tenantReason === "") return getTenant(control, tenant.id);
  // What cannot be had is wished for no longer: the host would try for ever.
  await changeExtension(control.database, { ...change, wanted: false });
  throw new Fault("OPERATION_FAILED", `${name} was not installed: ${done.tenantReason}`);
}

interface SettledSettings {
  readonly changed: boolean;
  readonly set: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

/** Checks the settings as they will be, against the memory that the instance will have. */
async function settleSettings(
  control: Control,
  about: {
    readonly tenant: TenantProgress;
    readonly instance: TenantInstance;
    readonly change: TenantChange;
  },
): Promise<SettledSettings> {
  const { tenant, instance, change } = about;
  const asked = Object.entries(change.settings ?? {});
  if (asked.length > 0 && instance.shared) {
    const how = "one setting: use ALTER ROLE in its own session";
    throw sharesInstance(tenant, `have ${how} for what a role may set`);
  }
  const remove = asked.filter(([, value]) => value === "").map(([name]) => name);
  const kept = Object.entries(instance.settings).filter(([name]) => !remove.includes(name));
  const wanted = Object.fromEntries([...kept, ...asked.filter(([, value]) => value !== "")]);
  const memoryMiB = await memoryAfter(control, instance, change);
  const accepted = requireSettings(wanted, { memoryMiB, engineMajor: instance.engineMajor });
  const set = Object.entries(accepted).filter(([name, value]) => instance.settings[name] !== value);
  const removed = remove.filter((name) => name in instance.settings);
  return {
    changed: set.length + removed.length > 0,
    set: Object.fromEntries(set),
    remove: removed,
  };
}

async function memoryAfter(
  control: Control,
  instance: TenantInstance,
  { plan }: TenantChange,
): Promise<number> {
  const terms = plan === undefined ? undefined : await findPlanTerms(control.database, plan);
  return terms?.memoryMiB ?? instance.memoryMiB;
}

function requireSettings(
  settings: Readonly<Record<string, string>>,
  bounds: SettingBounds,
): Readonly<Record<string, string>> {
  const { accepted, refused } = acceptSettings(settings, bounds);
  const [first] = refused;
  if (first === undefined) return accepted;
  throw new Fault("INVALID_ARGUMENT", first.sentence, {
    details: { refused: refused.map(({ name, sentence }) => ({ name, reason: sentence })) },
  });
}

function requireApply(apply = ""): boolean {
  if (apply === "" || apply === "restart") return apply === "restart";
  const sentence = `There is no way ${JSON.stringify(apply)} to apply a change: use restart.`;
  throw new Fault("INVALID_ARGUMENT", sentence);
}

async function write(
  control: Control,
  { caller }: ChangeRequest,
  tenant: TenantProgress,
  change: Partial<SettledSettings> & { readonly restart?: boolean },
): Promise<void> {
  const { set = {}, remove = [], restart = false } = change;
  const generation = await changeInstance(control.database, {
    tenantId: tenant.id,
    setSettings: set,
    removeSettings: remove,
    expectedToWait: [...Object.keys(set), ...remove].filter(waitsForRestart),
    restart,
    principal: caller.principal,
    eventRequestId: caller.requestId,
  });
  if (generation === undefined) throw tenantNotActive(tenant);
}

/** Waits a moment for the host's own words. */
async function answered(
  control: Control,
  tenant: TenantProgress,
  signal: AbortSignal,
): Promise<void> {
  const ms = Math.min(ANSWER_MS, control.settings.waitMs ?? ANSWER_MS);
  try {
    await untilAnswered(control, tenant, { signal, expecting: "the host to answer", ms });
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "OPERATION_TIMED_OUT") throw error;
  }
}

/** Throws OPERATION_FAILED when the host says that its server is not what it should be. */
async function untilAnswered(
  control: Control,
  tenant: TenantProgress,
  wait: { readonly signal: AbortSignal; readonly expecting: string; readonly ms?: number },
): Promise<void> {
  const instance = await untilTenant(control, { ...wait, tenantId: tenant.id }, async () => {
    const now = await requireInstance(control, tenant.id);
    const current = now.observedGeneration >= now.generation;
    return current && (now.running || now.reason !== "") ? now : undefined;
  });
  if (instance.reason === "") return;
  const sentence = `The change is written, and the host could not bring it about: `;
  throw new Fault("OPERATION_FAILED", `${sentence}${instance.reason} It tries again.`);
}

async function requireInstance(control: Control, id: TenantId): Promise<TenantInstance> {
  const instance = await readTenantInstance(control.database, id);
  if (instance !== undefined) return instance;
  throw tenantNotFound(id);
}

function sharesInstance({ name }: TenantProgress, what: string): Fault {
  const sentence = `The tenant ${name} shares its instance with others, which cannot ${what}.`;
  return new Fault("SHARED_INSTANCE", sentence);
}

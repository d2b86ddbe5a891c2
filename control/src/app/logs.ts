/** What servers wrote to their logs. Nothing of it is kept here: the host's agent is asked. */
import { Fault, type InstanceId, isId } from "@aerodb/model";
import { findInstanceHost } from "../store/hosts.ts";
import { findTenant } from "../store/tenants.ts";
import type { Control } from "./control.ts";
import type { HostQuestions, LogPart } from "./host-questions.ts";
import { couldBeTenant, requireTenant } from "./tenant-view.ts";

/** Which part of a log: after a cursor, or the end of it; of at most so many bytes. */
export interface AskedPart {
  /** Empty: the end of the log. */
  readonly cursor: string;
  /** 0: as much as is usual. */
  readonly maxBytes: number;
}

interface AskedLog {
  readonly questions: HostQuestions;
  readonly part: AskedPart;
  readonly signal: AbortSignal;
}

const USUAL_BYTES = 65_536;

/**
 * The log of a tenant's own server. TENANT_NOT_FOUND; LOG_IS_SHARED when it has none of its own.
 */
export async function readTenantLog(
  control: Control,
  ask: AskedLog & { readonly tenant: string },
): Promise<LogPart> {
  const tenant = await requireTenant(control, ask.tenant);
  if (tenant.isolation === "schema") {
    throw new Fault(
      "LOG_IS_SHARED",
      `The tenant ${tenant.name} lives in a shared instance, whose log is everybody's: ` +
        `an operator may read it with "aerodb logs --instance ${tenant.name}".`,
    );
  }
  return readInstanceLog(control, { ...ask, instance: tenant.instanceId });
}

/**
 * The log of an instance, or of the one that a tenant lives in. INSTANCE_NOT_FOUND; UNAVAILABLE
 * when its host's agent has none to give.
 */
export async function readInstanceLog(
  control: Control,
  ask: AskedLog & { readonly instance: string },
): Promise<LogPart> {
  const { questions, part, signal } = ask;
  const instance = await instanceNamed(control, ask.instance);
  const hostId = instance && (await findInstanceHost(control.database, instance));
  if (instance === undefined || hostId === undefined) {
    throw new Fault("INSTANCE_NOT_FOUND", `There is no instance ${JSON.stringify(ask.instance)}.`);
  }
  const maxBytes = part.maxBytes === 0 ? USUAL_BYTES : part.maxBytes;
  const question = { kind: "log", instanceId: instance, cursor: part.cursor, maxBytes } as const;
  return questions.ask(hostId, question, signal);
}

async function instanceNamed(control: Control, named: string): Promise<InstanceId | undefined> {
  if (isId("ins", named)) return named;
  if (!couldBeTenant(named)) return undefined;
  return (await findTenant(control.database, named))?.instanceId;
}

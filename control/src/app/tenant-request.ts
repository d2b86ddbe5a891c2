/** What a caller asks for when it asks for a tenant, checked step by step. */
import { createHash } from "node:crypto";
import {
  Fault,
  type Isolation,
  parseIsolation,
  parseTenantName,
  type TenantName,
} from "@aerodb/model";
import type { TenantBackground } from "../store/tenant-background.ts";
import { requireLabels, requireText } from "./text.ts";

/** What a caller asks for, as typed: everything in it is checked here. */
export interface NewTenant {
  readonly name: string;
  readonly plan: string;
  /** Empty: the only region with hosts. */
  readonly region: string;
  /** Empty: the plan's own. */
  readonly isolation: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Idempotency key; empty when the caller gives none. */
  readonly requestId: string;
}

/** A request that is well-formed; what it names may not exist. */
export interface CheckedRequest {
  readonly name: TenantName;
  readonly plan: string;
  readonly region: string;
  readonly isolation: Isolation | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly requestId: string | null;
  /** Of what was asked for, so that a repeat is known from another request under the same id. */
  readonly sha256: Buffer;
}

export function checkRequest(ask: NewTenant): CheckedRequest {
  const name = parseTenantName(ask.name);
  const isolation = ask.isolation === "" ? undefined : parseIsolation(ask.isolation);
  requireText("The plan", ask.plan);
  requireText("The region", ask.region);
  requireText("The request id", ask.requestId);
  requireLabels(ask.labels);
  const labels = Object.entries(ask.labels).sort(([a], [b]) => (a < b ? -1 : 1));
  const contents = JSON.stringify([name, ask.plan, ask.region, ask.isolation, labels]);
  return {
    name,
    plan: ask.plan,
    region: ask.region,
    isolation,
    labels: ask.labels,
    requestId: ask.requestId === "" ? null : ask.requestId,
    sha256: createHash("sha256").update(contents).digest(),
  };
}

/** What a request comes to on this platform. */
export interface Terms {
  readonly plan: NonNullable<TenantBackground["plan"]>;
  readonly region: string;
  readonly isolation: Isolation;
}

/** Settles plan, region and isolation, and that the name is free; throws which of them is wrong. */
export function settleTerms(request: CheckedRequest, background: TenantBackground): Terms {
  const { plan } = background;
  if (plan === null) {
    const known = background.plans.join(", ");
    const given = JSON.stringify(request.plan);
    const wrong = request.plan === "" ? "The tenant needs a plan" : `There is no plan ${given}`;
    const sentence = `${wrong}: use one of ${known}.`;
    throw new Fault("PLAN_NOT_FOUND", sentence);
  }
  const isolation = request.isolation ?? plan.defaultIsolation;
  if (!plan.isolations.includes(isolation)) {
    throw new Fault(
      "INVALID_ISOLATION_MODEL",
      `The plan ${request.plan} allows ${plan.isolations.join(", ")}, not ${isolation}.`,
    );
  }
  const region = settleRegion(request.region, background);
  if (background.nameHeldBy !== null) throw nameExists(request.name, background.nameHeldBy);
  return { plan, region, isolation };
}

function settleRegion(
  asked: string,
  { regions, defaultRegion }: Pick<TenantBackground, "regions" | "defaultRegion">,
): string {
  if (regions.includes(asked)) return asked;
  if (asked === "" && defaultRegion !== null) return defaultRegion;
  const known = regions.length === 0 ? "none yet: let a host join" : regions.join(", ");
  const wrong = asked === "" ? "Name a region" : `There is no region ${JSON.stringify(asked)}`;
  throw new Fault("REGION_NOT_FOUND", `${wrong}. Known are: ${known}.`, {
    details: { regions },
  });
}

export function nameExists(name: string, status = "active"): Fault {
  const sentence =
    status === "deleting"
      ? `The tenant ${name} is being deleted: its name is free once that is done.`
      : `There is a tenant ${name} already: choose another name.`;
  return new Fault("TENANT_NAME_EXISTS", sentence);
}

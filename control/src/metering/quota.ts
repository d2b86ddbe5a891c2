import type { QuotaStage } from "@aerodb/model";

/** From so much on a tenant is warned, and until it uses less than that it stays so. */
const WARNED_PERCENT = 80n;
const WELL_WITHIN_PERCENT = 75n;

/**
 * The stage of a tenant that uses so much of a quota. A warning ends a little below where it began,
 * so that use around that point is told once.
 */
export function stageOf(standing: {
  readonly used: bigint;
  /** Undefined: unlimited. */
  readonly quota: bigint | undefined;
  /** The stage it was in. */
  readonly stage: QuotaStage;
}): QuotaStage {
  const { used, quota, stage } = standing;
  if (quota === undefined) return "within";
  if (used >= quota) return "reached";
  const percent = (used * 100n) / quota;
  if (percent >= WARNED_PERCENT) return "warned";
  return stage !== "within" && percent >= WELL_WITHIN_PERCENT ? "warned" : "within";
}

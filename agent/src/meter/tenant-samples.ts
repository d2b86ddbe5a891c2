import type { InstanceId, Readings, TenantId } from "@aerodb/model";
import type { TenantLook } from "./instance-meter.ts";
import type { Measured } from "./measured.ts";

/** A tenant of which nothing changes is told of this seldom. */
const REPEAT_SECONDS = 3_600;
/** One tick of the kernel's clock is 10 ms. */
const NOTICEABLE_SECONDS = 0.005;

interface Told {
  /** What was told last, without what differs from look to look. */
  readonly said: string;
  seconds: number;
}

/**
 * Decides what is worth saying of the tenants in one shared instance, which may be ten thousand: of
 * those that have sessions or change, every time; of the others hardly ever.
 */
export class TenantSamples {
  readonly #instanceId: InstanceId;
  readonly #told = new Map<TenantId, Told>();
  /** Time since the tenants were last looked at. */
  #seconds = 0;

  constructor(instanceId: InstanceId) {
    this.#instanceId = instanceId;
  }

  /** What is to be reported, each with whether it is quiet. */
  of(
    tenants: ReadonlyMap<TenantId, TenantLook>,
    span: { readonly at: Date; readonly seconds: number; readonly asked: boolean },
  ): readonly (readonly [Measured, boolean])[] {
    this.#seconds += span.seconds;
    if (!span.asked || tenants.size === 0) return [];
    const seconds = this.#seconds;
    this.#seconds = 0;
    for (const id of this.#told.keys()) if (!tenants.has(id)) this.#told.delete(id);
    return [...tenants].flatMap(([tenantId, look]) => {
      const worth = this.#isWorthTelling(tenantId, look, seconds);
      if (worth === "no") return [];
      const { readings, statements } = look;
      const told = statements === undefined ? {} : { statements };
      const instanceId = this.#instanceId;
      const { at } = span;
      const sample = { instanceId, tenantId, at, seconds, readings, ...told };
      return [[sample, worth === "quiet"] as const];
    });
  }

  #isWorthTelling(id: TenantId, look: TenantLook, seconds: number): "yes" | "quiet" | "no" {
    const said = steadyPart(look.readings);
    const told = this.#told.get(id);
    const silentSeconds = (told?.seconds ?? 0) + seconds;
    const changed = told?.said !== said || (look.readings.cpu_seconds ?? 0) >= NOTICEABLE_SECONDS;
    if (changed || silentSeconds >= REPEAT_SECONDS) {
      this.#told.set(id, { said, seconds: 0 });
      return "yes";
    }
    if (told !== undefined) told.seconds = silentSeconds;
    return (look.readings.connections ?? 0) > 0 ? "quiet" : "no";
  }
}

/** What stays the same from look to look where nothing happens. */
function steadyPart(readings: Readings): string {
  const { cpu_seconds: _, oldest_transaction_seconds: __, ...steady } = readings;
  return JSON.stringify(steady);
}

/** What hosts keep running before a tenant asks for it. */
import type { HostId } from "@aerodb/model";
import {
  readWarmShapes,
  replaceWarmInstances,
  type WarmInstance,
  type WarmShape,
} from "../store/warm-instances.ts";
import type { Control } from "./control.ts";

export type { WarmInstance, WarmShape };

/** So many instances of one shape are to be kept. */
export interface WarmPolicy {
  readonly shape: WarmShape;
  readonly count: number;
}

/** More than this nobody keeps, whatever a host says. */
const MOST_READY = 200;

/** What a host should keep ready. */
export async function warmPolicies(control: Control, hostId: HostId): Promise<WarmPolicy[]> {
  const count = control.settings.warmInstances ?? 0;
  if (count === 0) return [];
  const shapes = await readWarmShapes(control.database, hostId);
  return shapes.map((shape) => ({ shape, count }));
}

/** Takes in what a host keeps ready: all of it. */
export function takeWarmInstances(
  control: Control,
  hostId: HostId,
  ready: readonly WarmInstance[],
): Promise<void> {
  return replaceWarmInstances(control.database, hostId, ready.slice(0, MOST_READY));
}

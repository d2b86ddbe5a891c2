import type { Region } from "../store/regions.ts";
import * as store from "../store/regions.ts";
import type { Control } from "./control.ts";

export type { Region };

/** Every region, by name. */
export function listRegions(control: Control): Promise<readonly Region[]> {
  return store.listRegions(control.database);
}

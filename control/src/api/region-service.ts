import type { RegionService } from "@aerodb/rpc/aerodb/control/v1/region_service_pb.js";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Region } from "../app/regions.ts";

export interface Regions {
  list(): Promise<readonly Region[]>;
}

export function regionService(regions: Regions): ServiceImpl<typeof RegionService> {
  return {
    async listRegions() {
      return { regions: [...(await regions.list())] };
    },
  };
}

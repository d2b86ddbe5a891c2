import type { PlatformService } from "@aerodb/rpc/aerodb/control/v1/platform_service_pb.js";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Readiness } from "../app/readiness.ts";
import type { JoiningDesk } from "../auth/joining-desk.ts";

export function platformService(
  checkReadiness: () => Promise<Readiness>,
  desk: Pick<JoiningDesk, "join">,
): ServiceImpl<typeof PlatformService> {
  return {
    async checkReadiness() {
      const { ready, reasons } = await checkReadiness();
      return { ready, reasons: [...reasons] };
    },

    async join(request) {
      const { joinToken, certificateRequest, name, kind, id } = request;
      return desk.join({ joinToken, certificateRequest, name, kind, id });
    },
  };
}

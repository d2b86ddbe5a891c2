/** IdentityService: who is known renews what it proves itself with. */
import { type AuthenticatedCall, shownCertificate } from "@aerodb/identity";
import { Fault } from "@aerodb/model";
import {
  type RenewRequest,
  type RenewResponse,
  RenewResponseSchema,
} from "@aerodb/rpc/aerodb/agent/v1/identity_service_pb.js";
import type { Logger } from "@aerodb/runtime";
import { grpcError } from "@aerodb/wire";
import { create } from "@bufbuild/protobuf";
import type { ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import type { ShownCertificate } from "../app/identities.ts";
import type { JoiningDesk } from "../auth/joining-desk.ts";

/** No request is longer; one for our keys is a tenth of it. */
const MOST_CHARACTERS = 16_384;

export interface IdentityLinkOptions {
  readonly desk: Pick<JoiningDesk, "renew">;
  /** Throws PERMISSION_DENIED when what was shown is not in force. */
  readonly requireStanding: (shown: ShownCertificate) => Promise<void>;
  readonly logger: Logger;
}

export class IdentityLink {
  readonly #options: IdentityLinkOptions;

  constructor(options: IdentityLinkOptions) {
    this.#options = options;
  }

  readonly renew = (
    call: ServerUnaryCall<RenewRequest, RenewResponse>,
    answer: sendUnaryData<RenewResponse>,
  ): void => {
    this.#renew(call, call.request.certificateRequest).then(
      (response) => answer(null, create(RenewResponseSchema, response)),
      (error: unknown) => {
        if (!(error instanceof Fault))
          this.#options.logger.error({ err: error }, "bug in a renewal");
        answer(grpcError(error));
      },
    );
  };

  async #renew(call: AuthenticatedCall, certificateRequest: string) {
    const { desk, requireStanding, logger } = this.#options;
    const shown = shownCertificate(call);
    if (shown === undefined || shown.kind === "control") {
      throw new Fault(
        "PERMISSION_DENIED",
        "Only hosts and gateways renew their certificates here.",
      );
    }
    if (certificateRequest.length > MOST_CHARACTERS) {
      throw new Fault("INVALID_ARGUMENT", "The certificate signing request is too long.");
    }
    await requireStanding(shown);
    const { kind, id } = shown;
    const renewed = await desk.renew({ kind, id }, certificateRequest);
    logger.info({ [kind]: id }, "renewed a certificate");
    return renewed;
  }
}

/**
 * Keeps an identity good for as long as the process runs: gets a new certificate, with a new key,
 * when two thirds of the life of the old one are over. What it cannot renew any more, because it
 * has expired or was revoked, it gets again with a join token, if it was given one.
 */
import { createHash } from "node:crypto";
import { Fault, lookAgain, messageOf, type Outcome } from "@aerodb/model";
import { IdentityService } from "@aerodb/rpc/aerodb/agent/v1/identity_service_pb.js";
import { failpoint, type Logger, type Loop, monotonicMs, now, startLoop } from "@aerodb/runtime";
import { type CallingClient, callUnary } from "@aerodb/wire";
import { type ServiceError, status } from "@grpc/grpc-js";
import { newPrivateKey, requireCertificate } from "./certificate-check.ts";
import { type CertificateLife, lifeOf } from "./certificate-life.ts";
import type { HeldKeys } from "./held-keys.ts";
import { type Identity, type JoinOptions, saveIdentity } from "./identity.ts";
import { parseJoinToken } from "./join-token.ts";
import { remedyOfTime } from "./out-of-time.ts";
import { signingRequest } from "./signing-request.ts";

export interface RenewalOptions extends JoinOptions {
  readonly keys: HeldKeys<Identity>;
  /** A channel to control's link, with these keys. */
  readonly client: CallingClient;
  readonly logger: Logger;
}

const ANSWER_MS = 10_000;
/** Clocks jump and machines sleep: the time is looked at no less often. */
const LOOK_MS = 3_600_000;
const MAX_PAUSE_MS = 60_000;
/** Those who joined together do not renew together: by this part of a life one may be earlier. */
const SPREAD = 0.05;

/** Renews until the signal is aborted. */
export function keepRenewed(options: RenewalOptions): Loop {
  const renewal = new Renewal(options);
  const { logger, signal } = options;
  return startLoop(() => renewal.pass(), {
    name: "identity",
    logger,
    signal,
    restMs: LOOK_MS,
    maxPauseMs: MAX_PAUSE_MS,
  });
}

class Renewal {
  readonly #options: RenewalOptions;
  readonly #spread: number;
  #heldSinceMs = monotonicMs();
  /** A token that was given and may not have been used yet: only control knows. */
  #token: string | undefined;

  constructor(options: RenewalOptions) {
    this.#options = options;
    const { id, joinTokenId } = options.keys.current;
    this.#spread = (createHash("sha256").update(id).digest()[0] ?? 0) / 256;
    const { joinToken } = options;
    const isNew = joinToken !== undefined && parseJoinToken(joinToken).id !== joinTokenId;
    this.#token = isNew && joinTokenId !== undefined ? joinToken : undefined;
  }

  async pass(): Promise<Outcome> {
    const { keys, logger } = this.#options;
    const leftMs = this.#untilDue(lifeOf(keys.current.certificate));
    if (leftMs > 0 && this.#token === undefined) {
      return lookAgain({ afterMs: Math.min(leftMs, LOOK_MS), because: "it is not due yet" });
    }
    const next = await this.#renew().catch((error: unknown) => this.#joinAgain(error));
    await failpoint("identity.renew.answered");
    saveIdentity(this.#options.directory, next);
    await failpoint("identity.renew.saved");
    keys.replace(next);
    this.#heldSinceMs = monotonicMs();
    this.#token = undefined;
    const { expiresAt } = lifeOf(next.certificate);
    logger.info({ id: next.id, expiresAt }, "has a new certificate");
    return lookAgain({ afterMs: 0, because: "when it is due depends on the certificate" });
  }

  /**
   * By our clock, or, should that be behind, by the time that we have held the certificate for.
   */
  #untilDue({ issuedAt, renewAt, expiresAt }: CertificateLife): number {
    const lifeMs = expiresAt.getTime() - issuedAt.getTime();
    const earlierMs = lifeMs * SPREAD * this.#spread;
    const byClock = renewAt.getTime() - now().getTime();
    const byHolding = renewAt.getTime() - issuedAt.getTime() - (monotonicMs() - this.#heldSinceMs);
    return Math.min(byClock, byHolding) - earlierMs;
  }

  async #renew(): Promise<Identity> {
    const { keys, client } = this.#options;
    const { kind, id } = keys.current;
    const privateKey = newPrivateKey();
    const request = { certificateRequest: signingRequest(privateKey, kind) };
    const { renew } = IdentityService.method;
    const answer = await callUnary(client, renew, request, { deadlineMs: ANSWER_MS });
    requireCertificate(answer.certificate, { kind, id }, privateKey);
    return {
      ...keys.current,
      certificate: answer.certificate,
      privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      caCertificate: answer.caCertificate,
    };
  }

  /** The token is used for nothing but what it is for: control refuses us, or has to. */
  async #joinAgain(error: unknown): Promise<Identity> {
    const { keys, joinToken } = this.#options;
    const { expiresAt } = lifeOf(keys.current.certificate);
    const isDenied = (error as ServiceError).code === status.PERMISSION_DENIED;
    const isExpired = expiresAt.getTime() <= now().getTime();
    const isUsed =
      joinToken === undefined || parseJoinToken(joinToken).id === keys.current.joinTokenId;
    if (isUsed || !(isDenied || isExpired)) throw this.#explain(error, { isDenied, isExpired });
    // What joining takes (Connect) stays out of the memory of those who have joined.
    const { joinPlatform } = await import("./join.ts");
    return joinPlatform(this.#options, joinToken, keys.current);
  }

  #explain(
    error: unknown,
    state: { readonly isDenied: boolean; readonly isExpired: boolean },
  ): Fault {
    const { kind, id, certificate } = this.#options.keys.current;
    const { expiresAt } = lifeOf(certificate);
    const because = (error as ServiceError).details ?? messageOf(error);
    const remedy =
      `Make a token with \`aerodb hosts token create --${kind} ${id}\` and start this ${kind} ` +
      "with it (--join-token).";
    if (state.isDenied) return new Fault("PERMISSION_DENIED", `${because} ${remedy}`);
    const sentence = state.isExpired
      ? `The certificate of ${kind} ${id} expired on ${expiresAt.toISOString()}, by the clock ` +
        `here. ${remedyOfTime(because) ?? remedy}`
      : `The certificate is not renewed yet, and good until ${expiresAt.toISOString()}.`;
    return new Fault("UNAVAILABLE", `${sentence} (${because})`, { cause: error });
  }
}

import type { AdmissionService } from "@aerodb/rpc/aerodb/control/v1/admission_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Caller } from "../app/control.ts";
import type { Gateway, JoinToken, Revoked } from "../app/identities.ts";
import { callerOf } from "./caller.ts";

export interface Admission {
  listJoinTokens(): Promise<readonly JoinToken[]>;
  revokeJoinToken(caller: Caller, tokenId: string): Promise<void>;
  revokeHost(
    caller: Caller,
    ask: { readonly host: string; readonly reason: string },
  ): Promise<Revoked>;
  listGateways(): Promise<readonly Gateway[]>;
  revokeGateway(
    caller: Caller,
    ask: { readonly gatewayId: string; readonly reason: string },
  ): Promise<Revoked>;
}

export function admissionService(admission: Admission): ServiceImpl<typeof AdmissionService> {
  return {
    async listJoinTokens() {
      return { joinTokens: (await admission.listJoinTokens()).map(encodeToken) };
    },

    async revokeJoinToken({ tokenId }, context) {
      await admission.revokeJoinToken(callerOf(context), tokenId);
      return {};
    },

    async revokeHost({ host, reason }, context) {
      const { id, revokedAt } = await admission.revokeHost(callerOf(context), { host, reason });
      return { hostId: id, revokedAt: encodeTime(revokedAt) };
    },

    async listGateways() {
      return { gateways: (await admission.listGateways()).map(encodeGateway) };
    },

    async revokeGateway({ gatewayId, reason }, context) {
      const ask = { gatewayId, reason };
      const { id, revokedAt } = await admission.revokeGateway(callerOf(context), ask);
      return { gatewayId: id, revokedAt: encodeTime(revokedAt) };
    },
  };
}

function encodeToken({ id, createdAt, expiresAt, ...token }: JoinToken) {
  return {
    ...token,
    tokenId: id,
    createdAt: encodeTime(createdAt),
    expiresAt: encodeTime(expiresAt),
  };
}

function encodeGateway({ id, lastSeenAt, revokedAt, ...gateway }: Gateway) {
  return {
    ...gateway,
    gatewayId: id,
    ...(lastSeenAt === null ? {} : { lastSeenAt: encodeTime(lastSeenAt) }),
    ...(revokedAt === null ? {} : { revokedAt: encodeTime(revokedAt) }),
  };
}
